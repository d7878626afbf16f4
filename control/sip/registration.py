"""A registration of ours at a PBX or carrier, kept alive (RFC 3261 section 10.2)."""

from typing import Final

from control.errors import DigestError
from control.sip.auth import Challenges
from control.sip.dialog import request_fields
from control.sip.digest import Credentials
from control.sip.effects import (
    Effect,
    Headers,
    RegistrationChanged,
    RegistrationState,
    Send,
    StartTimer,
    StopTimer,
    Timer,
)
from control.sip.message import Response
from control.sip.status import phrase, response_reason
from control.sip.uri import SipUri

MAX_RETRY: Final = 600.0
"""Seconds; the longest pause between tries, unless the registrar asks for more by Retry-After."""
MAX_RETRY_AFTER: Final = 3600.0
"""Seconds; a longer Retry-After is cut to this."""
MIN_REFRESH: Final = 1.0
"""Seconds; a registrar that grants less is not asked more often."""
MAX_EXPIRES: Final = 86_400
"""Seconds; a registrar that wants more (423) is refused, one that grants more is believed this much."""


class RegistrationClient:
    """One address of record and its binding to our Contact.

    All requests share Call-ID and From tag, and count their CSeq up (section 10.2).
    """

    def __init__(
        self,
        *,
        registrar: SipUri,
        aor: SipUri,
        contact: SipUri,
        call_id: str,
        local_tag: str,
        credentials: Credentials | None,
        next_hop: str = "",
        expires: int = 600,
        retry: float = 30.0,
        refresh_at: float = 0.8,
    ) -> None:
        """REGISTER `aor` at `registrar` (the request URI, a domain), by way of the URI `next_hop` if not "".

        The user of `contact` tells which INVITEs come by this registration. `expires` is what we ask for and
        `retry` the first pause after a failure, in seconds; `refresh_at` is the part of the granted time
        after which we refresh: spread over 0.75 to 0.9, registrations do not come in herds.
        """
        if not 0.75 <= refresh_at <= 0.9:
            raise ValueError(f"refresh_at {refresh_at} is not within 0.75 and 0.9")
        self.state = RegistrationState.UNREGISTERED
        self.contact: Final = contact
        self._registrar = registrar
        self._aor = aor
        self._call_id = call_id
        self._tag = local_tag
        self._credentials = credentials
        self._next_hop = next_hop
        self._expires = expires
        self._first_retry = retry
        self._retry = retry
        self._refresh_at = refresh_at
        self._cseq = 0
        self._pending = False
        """Whether the REGISTER `_cseq` waits for its final response."""
        self._bound = False
        """Whether the registrar may hold a binding to our Contact."""
        self._challenges = Challenges(credentials)

    # Commands

    def start(self) -> list[Effect]:
        """Register; also at once after a failure, and again after `stop`."""
        if self.state in (RegistrationState.REGISTERING, RegistrationState.REGISTERED):
            return []
        self._retry = self._first_retry
        return [StopTimer(Timer.REFRESH), *self._change(RegistrationState.REGISTERING), *self._register()]

    def stop(self) -> list[Effect]:
        """Take the binding back; `RegistrationChanged` to STOPPED follows when the registrar knows."""
        if self.state is RegistrationState.STOPPED:
            return []
        self.state = RegistrationState.STOPPED
        effects: list[Effect] = [StopTimer(Timer.REFRESH)]
        if self._bound:
            return [*effects, *self._register()]
        self._pending = False
        return [*effects, RegistrationChanged(self.state, 0, "")]

    # Inputs

    def on_response(self, response: Response) -> list[Effect]:
        """A response to REGISTER; those of earlier ones are ignored."""
        if not self._pending or response.cseq != (self._cseq, "REGISTER") or response.code < 200:
            return []
        self._pending = False
        if response.code < 300:
            return self._on_success(response)
        reason = response_reason(response)
        if response.code in (401, 407):
            try:
                return self._send(self._challenges.answer(response, "REGISTER", str(self._registrar)))
            except DigestError as error:
                reason = str(error)
        minimum = response.seconds("Min-Expires") or 0
        if response.code == 423 and self._expires < minimum <= MAX_EXPIRES:
            self._expires = minimum
            return self._register()
        return self._on_failure(response.code, reason, response.seconds("Retry-After"))

    def on_timeout(self, code: int = 408, cseq: int | None = None) -> list[Effect]:
        """A REGISTER got no final response, or could not be sent; `cseq` None: the last one."""
        if not self._pending or cseq not in (None, self._cseq):
            return []
        self._pending = False
        return self._on_failure(code, phrase(code))

    def on_timer(self, timer: Timer) -> list[Effect]:
        """REFRESH: time to refresh the binding, or to try again."""
        if timer is not Timer.REFRESH or self._pending:
            return []
        match self.state:
            case RegistrationState.REGISTERED:
                return self._register()
            case RegistrationState.FAILED:
                return [*self._change(RegistrationState.REGISTERING), *self._register()]
            case _:
                return []

    # Sending

    def _register(self) -> list[Effect]:
        """A new REGISTER, with no challenge met yet."""
        self._challenges = Challenges(self._credentials)
        return self._send()

    def _send(self, authorization: Headers = ()) -> list[Effect]:
        """REGISTER for `_expires` seconds, or 0 once we are stopped."""
        self._cseq += 1
        self._pending = True
        self._bound = True
        fields = request_fields(
            "REGISTER",
            local=f"<{self._aor}>;tag={self._tag}",
            remote=f"<{self._aor}>",
            call_id=self._call_id,
            cseq=self._cseq,
            contact=str(self.contact),
        )
        expires = 0 if self.state is RegistrationState.STOPPED else self._expires
        headers = (*fields, ("Expires", str(expires)), *authorization)
        return [Send("REGISTER", str(self._registrar), self._next_hop, headers)]

    # Outcomes

    def _on_success(self, response: Response) -> list[Effect]:
        if self.state is RegistrationState.STOPPED:
            self._bound = False
            return [RegistrationChanged(self.state, response.code, response_reason(response))]
        granted = self._granted(response)
        if not granted:
            return self._on_failure(response.code, "the registrar granted no time", None)
        self._retry = self._first_retry
        return [
            *self._change(RegistrationState.REGISTERED, response.code, response_reason(response), granted),
            StartTimer(Timer.REFRESH, max(granted * self._refresh_at, MIN_REFRESH)),
        ]

    def _granted(self, response: Response) -> int:
        """Seconds granted: of our Contact, else of Expires, else what we asked for (section 10.3, step 8)."""
        granted = response.seconds("Expires")
        for address in response.contacts:
            if _same_binding(address.uri, self.contact):
                own = address.param("expires") or ""
                if own.isascii() and own.isdecimal():
                    granted = int(own[:9])
        return min(self._expires if granted is None else granted, MAX_EXPIRES)

    def _on_failure(self, code: int, reason: str, retry_after: int | None = None) -> list[Effect]:
        """Report, and try again later; the pause doubles each time, unless the registrar tells it."""
        if self.state is RegistrationState.STOPPED:
            self._bound = False
            return [RegistrationChanged(self.state, code, reason)]
        if retry_after:
            pause = min(float(retry_after), MAX_RETRY_AFTER)
        else:
            pause = self._retry
            self._retry = min(self._retry * 2, max(MAX_RETRY, self._first_retry))
        return [
            *self._change(RegistrationState.FAILED, code, reason),
            StartTimer(Timer.REFRESH, pause),
        ]

    def _change(
        self, state: RegistrationState, code: int = 0, reason: str = "", expires: int = 0
    ) -> list[Effect]:
        if state is self.state:
            return []
        self.state = state
        return [RegistrationChanged(state, code, reason, expires)]


def _same_binding(one: SipUri, other: SipUri) -> bool:
    """Whether two Contacts name the same user at the same place (section 19.1.4, without parameters)."""
    return _place(one) == _place(other)


def _place(uri: SipUri) -> tuple[str, str, int]:
    return uri.username, uri.host.lower(), uri.port or 5060

"""An outgoing call: from our INVITE until it is answered or over (RFC 3261 sections 13.2 and 9.1).

Kamailio acknowledges final responses itself, the first 2xx included. Its ACK carries no body, so the offer
is always in the INVITE.
"""

from enum import Enum
from typing import Final

from control.errors import DigestError
from control.sip.auth import Challenges
from control.sip.dialog import CAPABILITIES, Dialog, content, request_fields
from control.sip.digest import Credentials
from control.sip.effects import (
    Answered,
    CancelInvite,
    Effect,
    Ended,
    Headers,
    Initiator,
    Rejected,
    Reply,
    Ringing,
    Send,
    StartTimer,
    StopTimer,
    Timer,
)
from control.sip.message import Request, Response
from control.sip.replies import answer, no_such_dialog, reply
from control.sip.session import Session
from control.sip.status import phrase, response_reason
from control.sip.uri import NameAddr, SipUri

CANCEL_TIMEOUT: Final = 32.0
"""Seconds; 64*T1."""
NO_RESPONSE_TIMEOUT: Final = 32.0
"""Seconds without any response after which Kamailio gives an INVITE up (timer B, section 17.1.1.2)."""
RING_MARGIN: Final = 10.0
"""Seconds that Kamailio waits longer than we do for the final response: our CANCEL comes first."""

_RINGING: Final = (180, 181, 182, 183)


class State(Enum):
    """Where an outgoing call stands."""

    IDLE = "idle"
    """`start` was not called yet."""
    CALLING = "calling"
    """The INVITE waits for its final response."""
    CANCELLING = "cancelling"
    """We have cancelled it, and it waits for its final response."""
    ESTABLISHED = "established"
    """Answered by 2xx: `OutgoingInvite.session` goes on, also past its end."""
    TERMINATED = "terminated"
    """Over before it was answered."""


class OutgoingInvite:
    """The caller's side of a call. It takes the inputs of the whole call; `session` gets them in time."""

    def __init__(
        self,
        *,
        uri: SipUri,
        caller: NameAddr,
        callee: NameAddr,
        call_id: str,
        local_tag: str,
        contact: str,
        offer: bytes,
        next_hop: str = "",
        headers: Headers = (),
        credentials: Credentials | None = None,
        ring_timeout: float = 120.0,
    ) -> None:
        """INVITE `uri` by way of the URI `next_hop` ("": `uri` itself), From `caller`, To `callee`.

        `contact` is the URI of our Contact, `offer` our session description; extra `headers` must have
        passed `safe_headers`; `ring_timeout` is in seconds.
        """
        self.state = State.IDLE
        self.session: Session | None = None
        """The established call, from the first 2xx on."""
        self._forks: list[Session] = []
        """Dialogs of further 2xx, from other branches of a forked INVITE; we hang them up."""
        self._uri = uri
        self._local = f"{caller};tag={local_tag}"
        self._remote = str(callee)
        self._call_id = call_id
        self._tag = local_tag
        self._contact = contact
        self._offer = offer
        self._next_hop = next_hop
        self._headers = headers
        self._credentials = credentials
        self._challenges = Challenges(credentials)
        self._authorization: Headers = ()
        self._ring_timeout = ring_timeout
        self._cseq = 0
        self._farewell = Ended(Initiator.CALLER, "cancelled", 487)
        """How the call ends once it is cancelled."""

    # Commands

    def start(self) -> list[Effect]:
        """Send the INVITE."""
        if self.state is not State.IDLE:
            return []
        return [*self._invite(), StartTimer(Timer.ANSWER, self._ring_timeout)]

    def cancel(self, reason: str = "cancelled") -> list[Effect]:
        """Give up before the call is answered; `Ended` follows. Afterwards nothing happens: use `bye`."""
        if self.state is State.IDLE:
            return self._terminate(Ended(Initiator.CALLER, reason, 487))
        if self.state is not State.CALLING:
            return []
        return self._cancel(Ended(Initiator.CALLER, reason, 487))

    # Inputs

    def on_response(self, response: Response, source: str = "") -> list[Effect]:
        """A response to a request of ours, from `source` (``proto:host:port``)."""
        cseq, method = response.cseq
        if method != "INVITE" or cseq != self._cseq:
            return self._on_dialog_response(response, source)
        if response.code < 200:
            return self._on_provisional(response)
        if response.code < 300:
            return self._on_success(response, source)
        if self.state is State.CANCELLING:
            return self._terminate(self._farewell)
        if self.state is not State.CALLING:
            return []
        return self._on_failure(response)

    def on_timeout(self, code: int = 408, cseq: int | None = None) -> list[Effect]:
        """A request of ours got no final response, or could not be sent; `cseq` None: the last one."""
        if self.session:
            return self.session.on_timeout(code, cseq)
        if cseq not in (None, self._cseq):
            return []
        if self.state is State.CANCELLING:
            return self._terminate(self._farewell)
        if self.state is not State.CALLING:
            return []
        return [Rejected(code, phrase(code)), *self._terminate(Ended(Initiator.SYSTEM, phrase(code), code))]

    def on_timer(self, timer: Timer) -> list[Effect]:
        """A timer of ours ran out."""
        if self.session:
            return self.session.on_timer(timer)
        match timer, self.state:
            case Timer.ANSWER, State.CALLING:
                return [Rejected(408, "no answer"), *self._cancel(Ended(Initiator.SYSTEM, "no answer", 408))]
            case Timer.CANCEL, State.CANCELLING:
                return self._terminate(self._farewell)
            case _:
                return []

    def on_request(self, request: Request, transaction: str, source: str = "") -> list[Effect]:
        """A request from the far end within the dialog, also before it has answered."""
        for session in (self.session, *self._forks):
            if session and session.dialog.matches(request):
                effects = session.on_request(request, transaction, source)
                return effects if session is self.session else _commands(effects)
        early = self.state in (State.CALLING, State.CANCELLING) and request.call_id == self._call_id
        if not early or request.to_tag != self._tag or request.method == "BYE":
            return [no_such_dialog(request, transaction, self._tag)]
        if request.method in ("INVITE", "UPDATE"):
            return [
                reply(request, transaction, self._tag, 491)
            ]  # Our offer has no answer yet (RFC 3311, 5.2).
        return answer(request, transaction, self._tag)

    def on_ack(self, request: Request) -> list[Effect]:
        """ACK of a 2xx to a re-INVITE."""
        return self.session.on_ack(request) if self.session else []

    def on_cancel(self) -> list[Effect]:
        """CANCEL of a re-INVITE."""
        return self.session.on_cancel() if self.session else []

    # The INVITE and its responses

    def _invite(self) -> list[Effect]:
        self._cseq += 1
        self.state = State.CALLING
        fields = request_fields(
            "INVITE",
            local=self._local,
            remote=self._remote,
            call_id=self._call_id,
            cseq=self._cseq,
            contact=self._contact,
        )
        headers = (*fields, *CAPABILITIES, *self._headers, *self._authorization, *content(self._offer))
        return [
            Send(
                "INVITE",
                str(self._uri),
                self._next_hop,
                headers,
                self._offer,
                fr_timer=NO_RESPONSE_TIMEOUT,
                fr_inv_timer=self._ring_timeout + RING_MARGIN,
            )
        ]

    def _on_provisional(self, response: Response) -> list[Effect]:
        if self.state is not State.CALLING or response.code not in _RINGING:
            return []
        return [Ringing(response.code, response.sdp)]

    def _on_failure(self, response: Response) -> list[Effect]:
        """3xx to 6xx: redirections are refused, challenges answered if we can."""
        reason = response_reason(response)
        if response.code in (401, 407):
            try:
                self._authorization = self._challenges.answer(response, "INVITE", str(self._uri), self._offer)
            except DigestError as error:
                reason = str(error)
            else:
                return self._invite()
        ended = Ended(Initiator.CALLEE, reason, response.code)
        return [Rejected(response.code, reason), *self._terminate(ended)]

    def _on_success(self, response: Response, source: str) -> list[Effect]:
        if self.session:
            return self._on_fork(self.session, response, source)
        if self.state not in (State.CALLING, State.CANCELLING):
            return []
        self.session = self._make_session(response, source)
        cancelled = self.state is State.CANCELLING
        self.state = State.ESTABLISHED
        if not cancelled:
            return [StopTimer(Timer.ANSWER), Answered(response.sdp)]
        how = self._farewell
        return [
            StopTimer(Timer.CANCEL),
            *self.session.bye(how.reason, initiator=how.initiator, code=how.code),
        ]

    def _on_fork(self, session: Session, response: Response, source: str) -> list[Effect]:
        """A further 2xx: the first again, or another branch's, which needs its own ACK and a BYE.

        Kamailio answers each with the ACK of the first (section 13.2.2.4 wants one for each dialog).
        """
        tag = response.to_tag or ""
        if tag == session.dialog.remote_tag:
            return []
        for known in self._forks:
            if known.dialog.remote_tag == tag:
                return [known.dialog.ack(self._cseq, self._authorization)]
        fork = self._make_session(response, source)
        self._forks.append(fork)
        return [fork.dialog.ack(self._cseq, self._authorization), *fork.bye("answered elsewhere")]

    def _make_session(self, response: Response, source: str) -> Session:
        dialog = Dialog.from_response(
            response,
            request_uri=self._uri,
            local=self._local,
            local_tag=self._tag,
            contact=self._contact,
            source=source,
        )
        return Session(dialog, Initiator.CALLER, credentials=self._credentials)

    def _on_dialog_response(self, response: Response, source: str) -> list[Effect]:
        tag = response.to_tag or ""
        for fork in self._forks:
            if fork.dialog.remote_tag == tag:
                return _commands(fork.on_response(response, source))
        return self.session.on_response(response, source) if self.session else []

    def _cancel(self, farewell: Ended) -> list[Effect]:
        self.state = State.CANCELLING
        self._farewell = farewell
        return [
            StopTimer(Timer.ANSWER),
            CancelInvite(self._call_id, self._cseq),
            StartTimer(Timer.CANCEL, CANCEL_TIMEOUT),
        ]

    def _terminate(self, ended: Ended) -> list[Effect]:
        """End the call before it is answered; the only way into TERMINATED."""
        timer = Timer.CANCEL if self.state is State.CANCELLING else Timer.ANSWER
        self.state = State.TERMINATED
        return [StopTimer(timer), ended]


def _commands(effects: list[Effect]) -> list[Effect]:
    """What a dialog does that the call above never hears of."""
    return [effect for effect in effects if isinstance(effect, Send | Reply)]

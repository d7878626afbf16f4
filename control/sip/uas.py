"""An incoming call: from its INVITE until it is answered or over (RFC 3261 sections 13.3 and 9.2)."""

from enum import Enum
from typing import Final

from control.errors import SipError
from control.sip.dialog import CAPABILITIES, Dialog, content
from control.sip.digest import Credentials
from control.sip.effects import Effect, Ended, Initiator, Reply, StartTimer, StopTimer, Timer
from control.sip.message import Request, Response
from control.sip.replies import RETRY_AFTER, accepted, answer, no_such_dialog, reply
from control.sip.session import ACK_TIMEOUT, Session
from control.sip.status import phrase, reason_header


class State(Enum):
    """Where an incoming call stands."""

    PROCEEDING = "proceeding"
    """No final response yet."""
    ESTABLISHED = "established"
    """Answered by 2xx: `IncomingInvite.session` goes on, also past its end."""
    TERMINATED = "terminated"
    """Over before it was answered."""


class IncomingInvite:
    """The callee's side of a call. It takes the inputs of the whole call; `session` gets them in time."""

    def __init__(
        self,
        request: Request,
        transaction: str,
        local_tag: str,
        contact: str,
        source: str,
        *,
        answer_timeout: float = 50.0,
        credentials: Credentials | None = None,
    ) -> None:
        """`contact` is the URI of our Contact, `source` the sender's ``proto:host:port``.

        Raises SipError for an INVITE that makes no dialog. `credentials` are for requests we send later.
        """
        self.dialog: Final = Dialog.from_invite(request, local_tag, contact, source)
        self.state = State.PROCEEDING
        self.session: Session | None = None
        """The established call, from `accept` on."""
        self._request = request
        self._transaction = transaction
        self._answer_timeout = answer_timeout
        self._credentials = credentials

    @property
    def offer(self) -> bytes:
        """The caller's session description; empty when the INVITE has none."""
        return self._request.sdp

    # Commands

    def start(self) -> list[Effect]:
        """Begin to wait for somebody who accepts the call."""
        return [StartTimer(Timer.ANSWER, self._answer_timeout)] if self.state is State.PROCEEDING else []

    def ring(self, code: int = 180, sdp: bytes = b"") -> list[Effect]:
        """Send a provisional response, with early media if there is `sdp`. Raises SipError for a bad code."""
        if not 101 <= code <= 199:
            raise SipError(f"ringing: {code} is no provisional status; use 180 or 183")
        if self.state is not State.PROCEEDING:
            return []
        headers = (self.dialog.contact_header, *CAPABILITIES, *content(sdp))
        return [Reply(self._transaction, code, phrase(code), self.dialog.local_tag, headers, sdp)]

    def accept(self, sdp: bytes) -> list[Effect]:
        """Answer the call; `Confirmed` follows with the ACK. Nothing happens when it is over already."""
        if self.state is not State.PROCEEDING:
            return []
        self.state = State.ESTABLISHED
        self.session = Session(
            self.dialog, Initiator.CALLEE, credentials=self._credentials, invite=self._request
        )
        return [
            accepted(self.dialog, self._transaction, sdp),
            StopTimer(Timer.ANSWER),
            StartTimer(Timer.ACK, ACK_TIMEOUT),
        ]

    def reject(self, code: int, reason_text: str = "") -> list[Effect]:
        """Refuse the call by a status from 400 to 699. Raises SipError for another code."""
        if not 400 <= code <= 699:
            raise SipError(f"reject: {code} is no status of refusal; use 400 to 699, such as 486 or 603")
        return self._terminate(code, Ended(Initiator.CALLEE, reason_text or phrase(code), code), reason_text)

    # Inputs

    def on_cancel(self) -> list[Effect]:
        """CANCEL; one that lost the race with our 2xx changes nothing."""
        if self.session:
            return self.session.on_cancel()
        return self._terminate(487, Ended(Initiator.CALLER, "cancelled", 487))

    def on_transaction_timeout(self) -> list[Effect]:
        """Kamailio waited too long for our final response and answered 480 itself."""
        return self._terminate(None, Ended(Initiator.SYSTEM, "not answered in time", 480))

    def on_timer(self, timer: Timer) -> list[Effect]:
        """A timer of ours ran out."""
        if self.session:
            return self.session.on_timer(timer)
        if timer is not Timer.ANSWER:
            return []
        return self._terminate(480, Ended(Initiator.SYSTEM, "not answered in time", 480))

    def on_ack(self, request: Request) -> list[Effect]:
        """ACK; that of a refusal is ignored."""
        return self.session.on_ack(request) if self.session else []

    def on_request(self, request: Request, transaction: str, source: str = "") -> list[Effect]:
        """A request within the dialog, also before it is answered."""
        if self.session:
            return self.session.on_request(request, transaction, source)
        tag = self.dialog.local_tag
        if self.state is State.TERMINATED or not self.dialog.matches(request):
            return [no_such_dialog(request, transaction, tag)]
        if not self.dialog.accept_cseq(request):
            return [reply(request, transaction, tag, 500)]
        match request.method:
            case "BYE":
                over = self._terminate(487, Ended(Initiator.CALLER, "BYE", 487))
                return [reply(request, transaction, tag, 200), *over]
            case "UPDATE" if not request.body:
                self.dialog.refresh(request, source)
                return [accepted(self.dialog, transaction, b"")]
            case "INVITE" | "UPDATE":
                # The first offer has no answer yet (section 14.2, RFC 3311 section 5.2).
                return [reply(request, transaction, tag, 500, RETRY_AFTER)]
            case _:
                return answer(request, transaction, tag)

    def on_response(self, response: Response, source: str = "") -> list[Effect]:
        """A response to a request that we sent within the dialog."""
        return self.session.on_response(response, source) if self.session else []

    def on_timeout(self, code: int = 408, cseq: int | None = None) -> list[Effect]:
        """A request that we sent within the dialog was not answered."""
        return self.session.on_timeout(code, cseq) if self.session else []

    def _terminate(self, code: int | None, ended: Ended, reason: str = "") -> list[Effect]:
        """End the call unanswered, by `code` (None: Kamailio did so); the only way into TERMINATED."""
        if self.state is not State.PROCEEDING:
            return []
        self.state = State.TERMINATED
        effects: list[Effect] = [StopTimer(Timer.ANSWER), ended]
        if code is None:
            return effects
        headers = (reason_header(code, reason or phrase(code)),)
        return [Reply(self._transaction, code, phrase(code), self.dialog.local_tag, headers), *effects]

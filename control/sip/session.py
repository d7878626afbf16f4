"""What happens within a dialog once its INVITE was answered, for caller and callee alike.

Offers and answers (RFC 3261 section 14, RFC 3311), BYE (section 15), and the ACK of every 2xx we send to an
INVITE (section 13.3.1.4). Inputs after the end are answered by 481 or ignored.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from control.errors import DigestError, SipError
from control.sip.auth import Challenges
from control.sip.dialog import CAPABILITIES, Dialog
from control.sip.digest import Credentials
from control.sip.effects import (
    Answered,
    Confirmed,
    Effect,
    Ended,
    Headers,
    Initiator,
    Offered,
    Rejected,
    Reply,
    StartTimer,
    StopTimer,
    Timer,
)
from control.sip.message import Request, Response
from control.sip.replies import RETRY_AFTER, accepted, answer, no_such_dialog, reply, screen_offer
from control.sip.status import phrase, reason_header, reason_text, response_reason

ACK_TIMEOUT: Final = 32.0
"""Seconds; 64*T1."""
NORMAL_CLEARING: Final = 16
"""Q.850 cause of a call that ended as calls do."""


class State(Enum):
    """Where a session stands."""

    ACCEPTED = "accepted"
    """Our 2xx to the first INVITE waits for its ACK."""
    CONFIRMED = "confirmed"
    LEAVING = "leaving"
    """We want to hang up, but a 2xx of ours waits for its ACK, and BYE must not overtake it (section 15)."""
    CLOSING = "closing"
    """Our BYE waits for its response."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request of ours that waits for its final response; it may be repeated with credentials."""

    method: str
    headers: Headers
    body: bytes
    challenges: Challenges


@dataclass(frozen=True, slots=True)
class _Offer:
    """A re-INVITE or UPDATE that waits for the call's decision."""

    transaction: str
    request: Request
    source: str


@dataclass(frozen=True, slots=True)
class _Ack:
    """An ACK we wait for; it brings the answer when the INVITE had no offer."""

    cseq: int
    with_answer: bool


class Session:
    """The established part of a call. `role` is our part in it: CALLER or CALLEE."""

    def __init__(
        self,
        dialog: Dialog,
        role: Initiator,
        *,
        credentials: Credentials | None = None,
        invite: Request | None = None,
    ) -> None:
        """`invite` is the INVITE that we just answered by 2xx as callee; the caller has none."""
        self.dialog: Final = dialog
        self.role: Final = role
        self.state = State.ACCEPTED if invite else State.CONFIRMED
        self._credentials = credentials
        self._ack = _Ack(invite.cseq[0], not invite.sdp) if invite else None
        self._offer: _Offer | None = None
        self._sent: dict[int, _Sent] = {}
        """By CSeq."""
        self._farewell: Ended | None = None
        """How the call ends since we hung up; who was first counts when BYEs cross."""
        self._bye_headers: Headers = ()

    @property
    def peer(self) -> Initiator:
        """The far end's part in the call."""
        return Initiator.CALLER if self.role is Initiator.CALLEE else Initiator.CALLEE

    # Requests of the far end

    def on_request(self, request: Request, transaction: str, source: str = "") -> list[Effect]:
        """A request within the dialog; ACK and CANCEL have inputs of their own."""
        if self.state is State.ENDED or not self.dialog.matches(request):
            return [no_such_dialog(request, transaction, self.dialog.local_tag)]
        if not self.dialog.accept_cseq(request):
            return [self._reply(request, transaction, 500)]
        if request.method == "BYE":
            remote = Ended(self.peer, reason_text(request, "BYE"), 200)
            return [self._reply(request, transaction, 200), *self._end(self._farewell or remote)]
        if self._farewell:
            return [no_such_dialog(request, transaction, self.dialog.local_tag)]
        if request.method in ("INVITE", "UPDATE"):
            return self._on_offer(_Offer(transaction, request, source))
        return answer(request, transaction, self.dialog.local_tag)

    def _on_offer(self, offer: _Offer) -> list[Effect]:
        request, transaction = offer.request, offer.transaction
        if refusal := screen_offer(request, transaction, self.dialog.local_tag):
            return [refusal]
        if request.method == "UPDATE" and not request.sdp:
            return self._accept(offer, b"")
        if self._own_offer_pending():
            return [self._reply(request, transaction, 491)]
        if self._offer:
            return [self._reply(request, transaction, 500, RETRY_AFTER)]
        self._offer = offer
        return [Offered(transaction, request.sdp)]

    def answer_offer(self, transaction: str, sdp: bytes) -> list[Effect]:
        """Answer an `Offered`; nothing happens when the offer is gone meanwhile."""
        if not self._offer or self._offer.transaction != transaction:
            return []
        offer, self._offer = self._offer, None
        return self._accept(offer, sdp)

    def refuse_offer(self, transaction: str, code: int = 488) -> list[Effect]:
        """Refuse an `Offered`: the session stays as it was; nothing happens when the offer is gone."""
        if not self._offer or self._offer.transaction != transaction:
            return []
        return self._drop_offer(code)

    def _accept(self, offer: _Offer, sdp: bytes) -> list[Effect]:
        self.dialog.refresh(offer.request, offer.source)
        effects: list[Effect] = [accepted(self.dialog, offer.transaction, sdp)]
        if offer.request.method == "INVITE":
            self._ack = _Ack(offer.request.cseq[0], not offer.request.sdp)
            effects.append(StartTimer(Timer.ACK, ACK_TIMEOUT))
        return effects

    def _drop_offer(self, code: int) -> list[Effect]:
        if not self._offer:
            return []
        offer, self._offer = self._offer, None
        return [self._reply(offer.request, offer.transaction, code)]

    def on_cancel(self) -> list[Effect]:
        """CANCEL of a re-INVITE; one that came after our 2xx changes nothing (section 9.2)."""
        if self._offer and self._offer.request.method == "INVITE":
            return self._drop_offer(487)
        return []

    def on_ack(self, request: Request) -> list[Effect]:
        """ACK; those of refused re-INVITEs and repeated ones are ignored."""
        if not self._ack or not self.dialog.matches(request) or request.cseq[0] != self._ack.cseq:
            return []
        with_answer = self._ack.with_answer
        self._ack = None
        effects: list[Effect] = [StopTimer(Timer.ACK)]
        if self.state is State.LEAVING:
            return [*effects, *self._send_bye()]
        if self.state is State.ACCEPTED:
            self.state = State.CONFIRMED
            effects.append(Confirmed())
        if with_answer and request.sdp:
            effects.append(Answered(request.sdp))
        return effects

    def on_timer(self, timer: Timer) -> list[Effect]:
        """ACK: the far end is gone or deaf, so the call ends at once and BYE is only sent after it."""
        if timer is not Timer.ACK or not self._ack:
            return []
        self._ack = None
        farewell = self._farewell or Ended(Initiator.SYSTEM, "no ACK", 408)
        if not self._farewell:
            self._bye_headers = (reason_header(408, "no ACK"),)
        return [*self._send_bye(), *self._end(farewell)]

    # Requests of ours

    def offer(self, sdp: bytes) -> list[Effect]:
        """Offer a new session by re-INVITE; `Answered` or `Rejected` follows.

        Raises SipError when the session is not confirmed or another offer is on its way (section 14.1).
        """
        if self.state is not State.CONFIRMED or self._ack or self._offer or self._own_offer_pending():
            raise SipError("re-INVITE: the call is not established or an offer is pending; try again later")
        return self._request("INVITE", CAPABILITIES, sdp, Challenges(self._credentials))

    def bye(
        self,
        reason: str = "",
        headers: Headers = (),
        *,
        initiator: Initiator | None = None,
        code: int = 200,
    ) -> list[Effect]:
        """Hang up; `Ended` follows when BYE is answered. `initiator` and `code` are for that report.

        `reason` goes into a Reason header; extra `headers` must have passed `safe_headers`.
        """
        if self.state not in (State.ACCEPTED, State.CONFIRMED):
            return []
        header = reason_header(NORMAL_CLEARING, reason or "Normal call clearing", "Q.850")
        self._farewell = Ended(initiator or self.role, reason, code)
        self._bye_headers = (header, *headers)
        effects = self._drop_offer(487)
        if self._ack:
            self.state = State.LEAVING
            return effects
        return [*effects, *self._send_bye()]

    def _send_bye(self) -> list[Effect]:
        self.state = State.CLOSING
        return self._request("BYE", self._bye_headers, b"", Challenges(self._credentials))

    def _request(
        self, method: str, headers: Headers, body: bytes, challenges: Challenges, auth: Headers = ()
    ) -> list[Effect]:
        send = self.dialog.request(method, (*headers, *auth), body)
        self._sent[self.dialog.local_cseq] = _Sent(method, headers, body, challenges)
        return [send]

    def _own_offer_pending(self) -> bool:
        return any(sent.method == "INVITE" for sent in self._sent.values())

    def on_response(self, response: Response, source: str = "") -> list[Effect]:
        """A response to a request of ours; others than those awaited are ignored."""
        cseq, method = response.cseq
        sent = self._sent.get(cseq)
        if not sent or sent.method != method or response.code < 200:
            return []
        del self._sent[cseq]
        reason = response_reason(response)
        if response.code in (401, 407) and (method == "BYE" or not self._farewell):
            try:
                auth = sent.challenges.answer(response, method, str(self.dialog.target), sent.body)
            except DigestError as error:
                reason = str(error)
            else:
                return self._request(method, sent.headers, sent.body, sent.challenges, auth)
        if method == "INVITE" and response.code < 300:
            self.dialog.refresh(response, source)
            return [] if self._farewell else [Answered(response.sdp)]
        return self._on_failure(sent, response.code, reason)

    def on_timeout(self, code: int = 408, cseq: int | None = None) -> list[Effect]:
        """A request of ours got no final response, or could not be sent; `cseq` None: the last one."""
        if cseq is None:
            cseq = max(self._sent, default=0)
        sent = self._sent.pop(cseq, None)
        return self._on_failure(sent, code, phrase(code)) if sent else []

    def _on_failure(self, sent: _Sent, code: int, reason: str) -> list[Effect]:
        """The end of BYE, however it was answered; the end of a re-INVITE that was not accepted."""
        if sent.method == "BYE":
            return self._end(self._farewell or Ended(self.role, reason, code))
        if self._farewell:
            return []
        effects: list[Effect] = [Rejected(code, reason)]
        if code in (408, 481):  # The far end has lost the dialog (section 12.2.1.2).
            effects += self.bye(reason, initiator=Initiator.SYSTEM, code=code)
        return effects

    # The end

    def _end(self, ended: Ended) -> list[Effect]:
        """The only way into ENDED."""
        self.state = State.ENDED
        effects = self._drop_offer(487)
        if self._ack:
            effects.append(StopTimer(Timer.ACK))
        self._ack = None
        self._sent.clear()
        return [*effects, ended]

    def _reply(self, request: Request, transaction: str, code: int, headers: Headers = ()) -> Reply:
        return reply(request, transaction, self.dialog.local_tag, code, headers)

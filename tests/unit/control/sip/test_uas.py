from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from control.errors import SipError
from control.sip.dialog import CAPABILITIES
from control.sip.digest import Credentials
from control.sip.effects import (
    Confirmed,
    Effect,
    Ended,
    Initiator,
    Reply,
    Send,
    StartTimer,
    StopTimer,
    Timer,
)
from control.sip.session import ACK_TIMEOUT
from control.sip.uas import IncomingInvite, State
from tests.support.sipledger import Ledger
from tests.support.siptext import (
    OUR_CONTACT,
    OUR_TAG,
    PEER_SOURCE,
    SDP,
    SDP_TYPE,
    challenge,
    invite,
    request,
    response,
)

OURS = b"v=0 ours"
CONTACT = ("Contact", f"<{OUR_CONTACT}>")


def incoming(sdp: bytes = SDP) -> IncomingInvite:
    return IncomingInvite(invite(1, sdp=sdp), "1:1", OUR_TAG, OUR_CONTACT, PEER_SOURCE, answer_timeout=9.0)


def codes(effects: list[Effect]) -> list[int]:
    return [effect.code for effect in effects if isinstance(effect, Reply)]


def test_an_answered_call() -> None:
    call = incoming()

    assert call.offer == SDP
    assert call.start() == [StartTimer(Timer.ANSWER, 9.0)]
    assert call.ring() == [Reply("1:1", 180, "Ringing", OUR_TAG, (CONTACT, *CAPABILITIES))]
    assert call.ring(183, OURS) == [
        Reply("1:1", 183, "Session Progress", OUR_TAG, (CONTACT, *CAPABILITIES, *SDP_TYPE), OURS)
    ]
    assert call.accept(OURS) == [
        Reply("1:1", 200, "OK", OUR_TAG, (CONTACT, *CAPABILITIES, *SDP_TYPE), OURS),
        StopTimer(Timer.ANSWER),
        StartTimer(Timer.ACK, ACK_TIMEOUT),
    ]
    assert call.state is State.ESTABLISHED
    assert call.session is not None
    assert call.on_ack(request("ACK", 1)) == [StopTimer(Timer.ACK), Confirmed()]
    (bye,) = call.session.bye()
    assert isinstance(bye, Send)
    assert call.on_response(response(bye, 200)) == [Ended(Initiator.CALLEE, "", 200)]


def test_nothing_rings_after_the_answer() -> None:
    call = incoming()
    call.accept(OURS)

    assert call.start() == call.ring() == call.accept(OURS) == call.reject(486) == call.on_cancel() == []
    assert call.on_transaction_timeout() == []


def test_a_call_without_an_offer() -> None:
    assert incoming(b"").offer == b""


def test_a_refused_call() -> None:
    call = incoming()

    assert call.reject(486, "out to lunch") == [
        Reply("1:1", 486, "Busy Here", OUR_TAG, (("Reason", 'SIP;cause=486;text="out to lunch"'),)),
        StopTimer(Timer.ANSWER),
        Ended(Initiator.CALLEE, "out to lunch", 486),
    ]
    assert call.state is State.TERMINATED
    assert call.on_ack(request("ACK", 1)) == []
    assert call.reject(486) == call.accept(OURS) == call.on_cancel() == call.on_timer(Timer.ANSWER) == []
    assert codes(call.on_request(request("BYE", 2), "1:2")) == [481]


def test_the_reason_of_a_refusal_defaults_to_its_phrase() -> None:
    reply, _, ended = incoming().reject(603)

    assert isinstance(reply, Reply)
    assert reply.headers == (("Reason", 'SIP;cause=603;text="Decline"'),)
    assert ended == Ended(Initiator.CALLEE, "Decline", 603)


@pytest.mark.parametrize("code", [100, 200, 302, 399, 700])
def test_bad_codes_are_errors(code: int) -> None:
    with pytest.raises(SipError, match=f"{code} is no status of refusal"):
        incoming().reject(code)
    with pytest.raises(SipError, match=f"{code} is no provisional status"):
        incoming().ring(code)


def test_the_caller_cancels() -> None:
    call = incoming()
    reply, stop, ended = call.on_cancel()

    assert isinstance(reply, Reply)
    assert (reply.code, reply.to_tag) == (487, OUR_TAG)
    assert stop == StopTimer(Timer.ANSWER)
    assert ended == Ended(Initiator.CALLER, "cancelled", 487)


def test_nobody_answers() -> None:
    reply, stop, ended = incoming().on_timer(Timer.ANSWER)

    assert isinstance(reply, Reply)
    assert reply.code == 480
    assert (stop, ended) == (StopTimer(Timer.ANSWER), Ended(Initiator.SYSTEM, "not answered in time", 480))
    assert incoming().on_timer(Timer.ACK) == []


def test_kamailio_has_answered_itself() -> None:
    assert incoming().on_transaction_timeout() == [
        StopTimer(Timer.ANSWER),
        Ended(Initiator.SYSTEM, "not answered in time", 480),
    ]


def test_the_caller_hangs_up_before_the_answer() -> None:
    effects = incoming().on_request(request("BYE", 2), "1:2")

    assert [(effect.transaction, effect.code) for effect in effects if isinstance(effect, Reply)] == [
        ("1:2", 200),
        ("1:1", 487),
    ]
    assert effects[-1] == Ended(Initiator.CALLER, "BYE", 487)


def test_requests_before_the_answer() -> None:
    call = incoming()

    assert codes(call.on_request(request("OPTIONS", 2), "1:2")) == [200]
    assert codes(call.on_request(request("UPDATE", 3, sdp=SDP), "1:3")) == [500]
    assert codes(call.on_request(request("INVITE", 4, sdp=SDP), "1:4")) == [500]
    assert codes(call.on_request(request("OPTIONS", 3), "1:5")) == [500]
    assert codes(call.on_request(request("OPTIONS", 9, from_tag="other"), "1:6")) == [481]
    assert codes(call.on_request(request("UPDATE", 9, contact="<sip:alice@192.0.2.99>"), "1:7")) == [200]
    assert str(call.dialog.target) == "sip:alice@192.0.2.99"
    assert call.on_timeout() == []
    assert call.state is State.PROCEEDING


def test_an_invite_that_makes_no_dialog_is_an_error() -> None:
    with pytest.raises(SipError, match="481"):
        IncomingInvite(request("INVITE", 1), "1:1", OUR_TAG, OUR_CONTACT, PEER_SOURCE)


METHODS = ["BYE", "INVITE", "UPDATE", "INFO", "OPTIONS", "REFER", "NOTIFY", "PRACK", "MESSAGE", "FOO"]


class IncomingCall(RuleBasedStateMachine):
    """Any order of inputs and commands keeps the promises of `Ledger`."""

    @initialize(offer=st.sampled_from([SDP, b""]), credentials=st.sampled_from([None, Credentials("u", "p")]))
    def begin(self, offer: bytes, credentials: Credentials | None) -> None:
        self.ledger = Ledger()
        self.invite = self.ledger.receive()
        self.cseq = 1
        self.call = IncomingInvite(
            invite(1, sdp=offer), self.invite, OUR_TAG, OUR_CONTACT, PEER_SOURCE, credentials=credentials
        )
        self.ledger.take(self.call.start())

    @rule(code=st.sampled_from([180, 183]), sdp=st.sampled_from([b"", OURS]))
    def ring(self, code: int, sdp: bytes) -> None:
        self.ledger.take(self.call.ring(code, sdp))

    @rule(sdp=st.sampled_from([b"", OURS]))
    def accept(self, sdp: bytes) -> None:
        self.ledger.take(self.call.accept(sdp))

    @rule(code=st.sampled_from([404, 486, 603]))
    def reject(self, code: int) -> None:
        self.ledger.take(self.call.reject(code))

    @rule()
    def cancelled(self) -> None:
        self.ledger.take(self.call.on_cancel())

    @precondition(lambda self: self.invite in self.ledger.open)
    @rule()
    def transaction_timeout(self) -> None:
        self.ledger.open.remove(self.invite)
        self.ledger.take(self.call.on_transaction_timeout())

    @rule(back=st.integers(0, 2), sdp=st.sampled_from([b"", SDP]))
    def ack(self, back: int, sdp: bytes) -> None:
        self.ledger.take(self.call.on_ack(request("ACK", max(self.cseq - back, 0), sdp=sdp)))

    @rule(timer=st.sampled_from(Timer))
    def timer(self, timer: Timer) -> None:
        self.ledger.timers.discard(timer)
        self.ledger.take(self.call.on_timer(timer))

    @rule(
        method=st.sampled_from(METHODS),
        step=st.integers(-1, 2),
        sdp=st.sampled_from([b"", SDP]),
        tag=st.sampled_from(["peer-tag"] * 5 + ["other"]),
    )
    def request(self, method: str, step: int, sdp: bytes, tag: str) -> None:
        self.cseq = max(self.cseq + step, 0)
        asked = request(method, self.cseq, sdp=sdp, from_tag=tag)
        self.ledger.take(self.call.on_request(asked, self.ledger.receive(), PEER_SOURCE))

    @precondition(lambda self: self.ledger.offers)
    @rule(data=st.data(), yes=st.booleans())
    def decide(self, data: st.DataObject, yes: bool) -> None:
        transaction = data.draw(st.sampled_from(self.ledger.offers))
        if session := self.call.session:
            self.ledger.take(
                session.answer_offer(transaction, OURS) if yes else session.refuse_offer(transaction)
            )

    @rule()
    def offer(self) -> None:
        if session := self.call.session:
            with suppress(SipError):
                self.ledger.take(session.offer(OURS))

    @rule()
    def bye(self) -> None:
        if session := self.call.session:
            self.ledger.take(session.bye("enough"))

    @precondition(lambda self: self.ledger.sent)
    @rule(data=st.data(), code=st.sampled_from([100, 180, 200, 401, 407, 408, 481, 491, 500]))
    def response(self, data: st.DataObject, code: int) -> None:
        sent = data.draw(st.sampled_from(self.ledger.sent))
        answer = challenge(sent, code) if code in (401, 407) else response(sent, code, sdp=SDP)
        self.ledger.take(self.call.on_response(answer, PEER_SOURCE))

    @rule(code=st.sampled_from([408, 503]), cseq=st.none() | st.integers(0, 5))
    def timeout(self, code: int, cseq: int | None) -> None:
        self.ledger.take(self.call.on_timeout(code, cseq))


TestIncomingCall = IncomingCall.TestCase
TestIncomingCall.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)

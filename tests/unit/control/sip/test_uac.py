from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from control.errors import SipError
from control.sip.digest import Credentials
from control.sip.effects import (
    Answered,
    CancelInvite,
    Effect,
    Ended,
    Headers,
    Initiator,
    Offered,
    Rejected,
    Reply,
    Ringing,
    Send,
    StartTimer,
    StopTimer,
    Timer,
)
from control.sip.message import Request, Response
from control.sip.uac import CANCEL_TIMEOUT, OutgoingInvite, State
from control.sip.uri import parse_name_addr, parse_uri
from tests.support.sipledger import Ledger
from tests.support.siptext import (
    OUR_CONTACT,
    OUR_TAG,
    PEER_SOURCE,
    SDP,
    challenge,
    field,
    request,
    response,
)

OURS = b"v=0 ours"
CALL_ID = "call-2@us"
BOT = Credentials("bot", "secret")


def outgoing(credentials: Credentials | None = None, headers: Headers = ()) -> OutgoingInvite:
    return OutgoingInvite(
        uri=parse_uri("sip:alice@example.com"),
        caller=parse_name_addr('"Bot" <sip:bot@example.net>'),
        callee=parse_name_addr("<sip:alice@example.com>"),
        call_id=CALL_ID,
        local_tag=OUR_TAG,
        contact=OUR_CONTACT,
        offer=OURS,
        next_hop="sip:gw.example.com",
        headers=headers,
        credentials=credentials,
        ring_timeout=60.0,
    )


def started(credentials: Credentials | None = None) -> tuple[OutgoingInvite, Send]:
    call = outgoing(credentials)
    send, _ = call.start()
    assert isinstance(send, Send)
    return call, send


def established(credentials: Credentials | None = None) -> tuple[OutgoingInvite, Send]:
    call, send = started(credentials)
    assert call.on_response(response(send, 200, sdp=SDP), PEER_SOURCE) == [
        StopTimer(Timer.ANSWER),
        Answered(SDP),
    ]
    return call, send


def asked(
    method: str, cseq: int, *, sdp: bytes = b"", to_tag: str = OUR_TAG, from_tag: str = "peer-tag"
) -> Request:
    return request(method, cseq, call_id=CALL_ID, sdp=sdp, to_tag=to_tag, from_tag=from_tag)


def codes(effects: list[Effect]) -> list[int]:
    return [effect.code for effect in effects if isinstance(effect, Reply)]


def test_the_invite() -> None:
    call = outgoing(headers=(("X-A", "1"),))

    send, timer = call.start()

    assert timer == StartTimer(Timer.ANSWER, 60.0)
    assert send == Send(
        "INVITE",
        "sip:alice@example.com",
        "sip:gw.example.com",
        (
            ("From", f'"Bot" <sip:bot@example.net>;tag={OUR_TAG}'),
            ("To", "<sip:alice@example.com>"),
            ("Call-ID", CALL_ID),
            ("CSeq", "1 INVITE"),
            ("Max-Forwards", "70"),
            ("Contact", f"<{OUR_CONTACT}>"),
            ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"),
            ("Accept", "application/sdp"),
            ("Supported", ""),
            ("X-A", "1"),
            ("Content-Type", "application/sdp"),
        ),
        OURS,
        fr_timer=32.0,
        fr_inv_timer=70.0,
    )
    assert call.start() == []


def test_an_answered_call() -> None:
    call, send = started()

    assert call.on_response(response(send, 100)) == []
    assert call.on_response(response(send, 180)) == [Ringing(180)]
    assert call.on_response(response(send, 183, sdp=SDP)) == [Ringing(183, SDP)]
    assert call.on_response(response(send, 199)) == []
    answer = response(send, 200, sdp=SDP)
    assert call.on_response(answer, PEER_SOURCE) == [StopTimer(Timer.ANSWER), Answered(SDP)]
    assert call.on_response(answer, PEER_SOURCE) == []
    assert call.on_response(response(send, 180)) == []
    assert call.state is State.ESTABLISHED
    assert call.on_request(asked("BYE", 1), "1:1") == [
        Reply("1:1", 200, "OK", OUR_TAG),
        Ended(Initiator.CALLEE, "BYE", 200),
    ]


def test_we_hang_up() -> None:
    call, _ = established()
    assert call.session is not None

    (bye,) = call.session.bye()

    assert isinstance(bye, Send)
    assert (bye.uri, field(bye, "CSeq")) == ("sip:bob@192.0.2.1:5062", "2 BYE")
    assert call.on_response(response(bye, 200)) == [Ended(Initiator.CALLER, "", 200)]


def test_the_session_gets_its_inputs() -> None:
    call, _ = established()
    assert call.session is not None

    assert call.on_request(asked("INVITE", 5, sdp=SDP), "1:1") == [Offered("1:1", SDP)]
    assert codes(call.on_cancel()) == [487]
    call.on_request(asked("INVITE", 6, sdp=SDP), "1:2")
    call.session.answer_offer("1:2", OURS)
    assert call.on_ack(asked("ACK", 6)) == [StopTimer(Timer.ACK)]
    assert call.on_timer(Timer.ACK) == []
    call.session.bye()
    assert call.on_timeout() == [Ended(Initiator.CALLER, "", 200)]


@pytest.mark.parametrize("code", [302, 404, 486, 503, 603])
def test_a_refused_call(code: int) -> None:
    call, send = started()

    assert call.on_response(response(send, code, "No")) == [
        Rejected(code, "No"),
        StopTimer(Timer.ANSWER),
        Ended(Initiator.CALLEE, "No", code),
    ]
    assert call.state is State.TERMINATED
    assert call.on_response(response(send, code, "No")) == call.on_response(response(send, 180)) == []
    assert call.on_response(response(send, 200, sdp=SDP)) == call.on_timeout() == call.cancel() == []
    assert codes(call.on_request(asked("BYE", 1), "1:1")) == [481]


def test_nobody_responds() -> None:
    call, _ = started()

    assert call.on_timeout(408, 99) == []
    assert call.on_timeout(408, 1) == [
        Rejected(408, "Request Timeout"),
        StopTimer(Timer.ANSWER),
        Ended(Initiator.SYSTEM, "Request Timeout", 408),
    ]


@pytest.mark.parametrize(("code", "header"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_a_challenge_is_answered_once(code: int, header: str) -> None:
    call, send = started(BOT)

    (again,) = call.on_response(challenge(send, code))

    assert isinstance(again, Send)
    assert field(again, "CSeq") == "2 INVITE"
    assert (field(again, header) or "").startswith("Digest ")
    assert (again.uri, again.next_hop, again.body) == (send.uri, send.next_hop, send.body)
    assert field(again, "From") == field(send, "From")
    assert call.on_response(challenge(send, code)) == []
    rejected, _, ended = call.on_response(challenge(again, code))
    assert isinstance(rejected, Rejected)
    assert rejected.code == code
    assert "refused the credentials of bot" in rejected.reason
    assert ended == Ended(Initiator.CALLEE, rejected.reason, code)


def test_a_challenge_without_credentials_is_a_refusal() -> None:
    call, send = started()

    rejected, *_ = call.on_response(challenge(send, 407))

    assert isinstance(rejected, Rejected)
    assert "none are configured" in rejected.reason


def test_cancel_before_start() -> None:
    call = outgoing()

    assert call.cancel("never mind") == [StopTimer(Timer.ANSWER), Ended(Initiator.CALLER, "never mind", 487)]
    assert call.start() == []


@pytest.mark.parametrize("rings", [False, True])
def test_cancel(rings: bool) -> None:
    call, send = started()
    if rings:
        call.on_response(response(send, 180))

    assert call.cancel() == [
        StopTimer(Timer.ANSWER),
        CancelInvite(CALL_ID, 1),
        StartTimer(Timer.CANCEL, CANCEL_TIMEOUT),
    ]
    assert call.cancel() == []
    assert call.on_response(response(send, 180)) == []
    assert call.on_timer(Timer.ANSWER) == []
    assert call.on_response(response(send, 487)) == [
        StopTimer(Timer.CANCEL),
        Ended(Initiator.CALLER, "cancelled", 487),
    ]


def test_a_cancelled_call_answers_no_challenge() -> None:
    call, send = started(BOT)
    call.cancel()

    assert call.on_response(challenge(send))[-1] == Ended(Initiator.CALLER, "cancelled", 487)


def test_cancel_without_final_response() -> None:
    call, _ = started()
    call.cancel()

    assert call.on_timer(Timer.CANCEL) == [StopTimer(Timer.CANCEL), Ended(Initiator.CALLER, "cancelled", 487)]

    call, _ = started()
    call.cancel()
    assert call.on_timeout(408, 1)[-1] == Ended(Initiator.CALLER, "cancelled", 487)


def test_an_answer_that_crosses_our_cancel_is_hung_up() -> None:
    call, send = started()
    call.cancel("never mind")

    stop, bye = call.on_response(response(send, 200, sdp=SDP), PEER_SOURCE)

    assert stop == StopTimer(Timer.CANCEL)
    assert isinstance(bye, Send)
    assert bye.method == "BYE"
    assert call.on_response(response(bye, 200)) == [Ended(Initiator.CALLER, "never mind", 487)]


def test_it_rings_too_long() -> None:
    call, send = started()

    assert call.on_timer(Timer.ANSWER) == [
        Rejected(408, "no answer"),
        StopTimer(Timer.ANSWER),
        CancelInvite(CALL_ID, 1),
        StartTimer(Timer.CANCEL, CANCEL_TIMEOUT),
    ]
    assert call.on_response(response(send, 487)) == [
        StopTimer(Timer.CANCEL),
        Ended(Initiator.SYSTEM, "no answer", 408),
    ]


def test_a_second_branch_that_answers_is_acknowledged_and_hung_up() -> None:
    call, send = established(BOT)
    second = response(send, 200, tag="fork", contact="<sip:carol@192.0.2.3>", sdp=SDP)

    ack, bye = call.on_response(second, "udp:192.0.2.3:5060")

    assert isinstance(ack, Send)
    assert isinstance(bye, Send)
    assert (ack.method, ack.uri, field(ack, "CSeq")) == ("ACK", "sip:carol@192.0.2.3", "1 ACK")
    assert field(ack, "To") == "<sip:alice@example.com>;tag=fork"
    assert (bye.method, bye.uri, field(bye, "CSeq")) == ("BYE", "sip:carol@192.0.2.3", "2 BYE")
    assert call.on_response(second) == [ack]
    third = call.on_response(response(send, 200, tag="fork-3", sdp=SDP))
    assert [effect.method for effect in third if isinstance(effect, Send)] == ["ACK", "BYE"]
    assert call.on_response(response(send, 200, tag="fork-3", sdp=SDP)) == third[:1]
    assert isinstance(third[1], Send)
    assert call.on_response(response(third[1], 200)) == []
    (again,) = call.on_response(challenge(bye))
    assert isinstance(again, Send)
    assert again.method == "BYE"
    assert call.on_request(asked("BYE", 4, from_tag="fork"), "1:1") == [Reply("1:1", 200, "OK", OUR_TAG)]
    assert call.on_response(response(again, 200)) == []
    assert call.session is not None
    assert call.session.bye()


def test_the_ack_of_a_branch_carries_the_credentials_of_the_invite() -> None:
    call, send = started(BOT)
    (again,) = call.on_response(challenge(send))
    assert isinstance(again, Send)
    call.on_response(response(again, 200, sdp=SDP))

    ack, _ = call.on_response(response(again, 200, tag="fork", sdp=SDP))

    assert isinstance(ack, Send)
    assert field(ack, "Authorization") == field(again, "Authorization")


def test_requests_before_the_answer() -> None:
    call, _ = started()

    assert codes(call.on_request(asked("OPTIONS", 1), "1:1")) == [200]
    assert codes(call.on_request(asked("UPDATE", 1, sdp=SDP), "1:2")) == [491]
    assert codes(call.on_request(asked("INVITE", 1), "1:3")) == [491]
    assert codes(call.on_request(asked("BYE", 1), "1:4")) == [481]
    assert codes(call.on_request(asked("INFO", 1, to_tag="b.a.other"), "1:5")) == [481]
    assert codes(call.on_request(replace(asked("INFO", 1), method="INFO"), "1:6")) == [200]
    assert call.on_ack(asked("ACK", 1)) == call.on_cancel() == []
    assert codes(outgoing().on_request(asked("INFO", 1), "1:7")) == [481]


def test_responses_before_the_start_are_ignored() -> None:
    _, send = started()
    early = Send(
        "INVITE", send.uri, "", tuple((n, "0 INVITE" if n == "CSeq" else v) for n, v in send.headers)
    )

    for code in (180, 200, 486):
        assert outgoing().on_response(response(early, code)) == []
    assert outgoing().on_timeout() == outgoing().on_timer(Timer.ANSWER) == []


METHODS = ["BYE", "INVITE", "UPDATE", "INFO", "OPTIONS", "REFER", "FOO"]
CODES = [100, 180, 183, 200, 302, 401, 407, 408, 481, 486, 487, 491, 500]


class OutgoingCall(RuleBasedStateMachine):
    """Any order of inputs and commands keeps the promises of `Ledger`."""

    @initialize(credentials=st.sampled_from([None, BOT]))
    def begin(self, credentials: Credentials | None) -> None:
        self.ledger = Ledger(forks=True)
        self.cseq = 0
        self.call = outgoing(credentials)

    @rule()
    def start(self) -> None:
        self.ledger.take(self.call.start())

    @rule()
    def cancel(self) -> None:
        self.ledger.take(self.call.cancel())

    @precondition(lambda self: self.ledger.sent)
    @rule(
        data=st.data(),
        code=st.sampled_from(CODES),
        tag=st.sampled_from(["peer-tag"] * 3 + ["fork", "fork-2", ""]),
        stale=st.booleans(),
    )
    def response(self, data: st.DataObject, code: int, tag: str, stale: bool) -> None:
        sent = data.draw(st.sampled_from(self.ledger.sent))
        answer: Response = (
            challenge(sent, code, stale=stale)
            if code in (401, 407)
            else response(sent, code, tag=tag, sdp=SDP)
        )
        self.ledger.take(self.call.on_response(answer, PEER_SOURCE))

    @rule(code=st.sampled_from([408, 503]), cseq=st.none() | st.integers(0, 5))
    def timeout(self, code: int, cseq: int | None) -> None:
        self.ledger.take(self.call.on_timeout(code, cseq))

    @rule(timer=st.sampled_from(Timer))
    def timer(self, timer: Timer) -> None:
        self.ledger.timers.discard(timer)
        self.ledger.take(self.call.on_timer(timer))

    @rule(
        method=st.sampled_from(METHODS),
        step=st.integers(-1, 2),
        sdp=st.sampled_from([b"", SDP]),
        tag=st.sampled_from(["peer-tag"] * 4 + ["fork", "other"]),
    )
    def request(self, method: str, step: int, sdp: bytes, tag: str) -> None:
        self.cseq = max(self.cseq + step, 0)
        self.ledger.take(
            self.call.on_request(
                asked(method, self.cseq, sdp=sdp, from_tag=tag), self.ledger.receive(), PEER_SOURCE
            )
        )

    @rule(back=st.integers(0, 2))
    def ack(self, back: int) -> None:
        self.ledger.take(self.call.on_ack(asked("ACK", max(self.cseq - back, 0), sdp=SDP)))

    @rule()
    def cancelled(self) -> None:
        self.ledger.take(self.call.on_cancel())

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


TestOutgoingCall = OutgoingCall.TestCase
TestOutgoingCall.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)

import pytest

from control.errors import SipError
from control.sip.dialog import CAPABILITIES, Dialog
from control.sip.digest import Credentials
from control.sip.effects import (
    Answered,
    Confirmed,
    Digit,
    Effect,
    Ended,
    Initiator,
    Offered,
    Rejected,
    Reply,
    Send,
    StartTimer,
    StopTimer,
    Timer,
)
from control.sip.session import ACK_TIMEOUT, Session, State
from tests.support.siptext import (
    OUR_CONTACT,
    OUR_TAG,
    PEER_SOURCE,
    SDP,
    challenge,
    field,
    invite,
    request,
    response,
)

OURS = b"v=0 ours"
BYE_REASON = 'Q.850;cause=16;text="Normal call clearing"'


def accepted(*, sdp: bytes = SDP, credentials: Credentials | None = None) -> Session:
    first = invite(1, sdp=sdp)
    dialog = Dialog.from_invite(first, OUR_TAG, OUR_CONTACT, PEER_SOURCE)
    return Session(dialog, Initiator.CALLEE, credentials=credentials, invite=first)


def confirmed(credentials: Credentials | None = None) -> Session:
    session = accepted(credentials=credentials)
    assert session.on_ack(request("ACK", 1)) == [StopTimer(Timer.ACK), Confirmed()]
    return session


def sole(effects: list[Effect]) -> Send:
    (send,) = effects
    assert isinstance(send, Send)
    return send


def codes(effects: list[Effect]) -> list[int]:
    return [effect.code for effect in effects if isinstance(effect, Reply)]


def test_the_ack_confirms() -> None:
    session = accepted()

    assert accepted().state is State.ACCEPTED
    assert session.on_ack(request("ACK", 2)) == []
    assert session.on_ack(request("ACK", 1, from_tag="other")) == []
    assert session.on_ack(request("ACK", 1)) == [StopTimer(Timer.ACK), Confirmed()]
    assert session.state is State.CONFIRMED
    assert session.on_ack(request("ACK", 1)) == []


def test_the_ack_brings_the_answer_to_our_offer() -> None:
    assert accepted(sdp=b"").on_ack(request("ACK", 1, sdp=SDP)) == [
        StopTimer(Timer.ACK),
        Confirmed(),
        Answered(SDP),
    ]
    assert accepted(sdp=b"").on_ack(request("ACK", 1)) == [StopTimer(Timer.ACK), Confirmed()]
    assert accepted().on_ack(request("ACK", 1, sdp=SDP)) == [StopTimer(Timer.ACK), Confirmed()]


def test_a_missing_ack_ends_the_call() -> None:
    session = accepted()

    assert session.on_timer(Timer.ANSWER) == []
    bye, ended = session.on_timer(Timer.ACK)

    assert isinstance(bye, Send)
    assert (bye.method, field(bye, "Reason")) == ("BYE", 'SIP;cause=408;text="no ACK"')
    assert ended == Ended(Initiator.SYSTEM, "no ACK", 408)
    assert session.on_response(response(bye, 200)) == []
    assert session.on_timer(Timer.ACK) == []


@pytest.mark.parametrize(
    ("role", "peer"), [(Initiator.CALLEE, Initiator.CALLER), (Initiator.CALLER, Initiator.CALLEE)]
)
def test_the_peer_hangs_up(role: Initiator, peer: Initiator) -> None:
    session = Session(Dialog.from_invite(invite(), OUR_TAG, OUR_CONTACT, ""), role)

    effects = session.on_request(
        request("BYE", 2, headers=(("Reason", 'Q.850;cause=16;text="done"'),)), "1:2"
    )

    assert effects == [Reply("1:2", 200, "OK", OUR_TAG), Ended(peer, "done", 200)]
    assert codes(session.on_request(request("BYE", 3), "1:3")) == [481]
    assert session.bye() == []


def test_the_peer_hangs_up_before_its_ack_arrives() -> None:
    session = accepted()

    assert session.on_request(request("BYE", 2), "1:2")[1:] == [
        StopTimer(Timer.ACK),
        Ended(Initiator.CALLER, "BYE", 200),
    ]


def test_we_hang_up() -> None:
    session = confirmed()

    bye = sole(session.bye("goodbye", (("X-A", "1"),)))

    assert (bye.method, bye.uri, field(bye, "CSeq")) == ("BYE", "sip:alice@192.0.2.1:5062", "1 BYE")
    assert bye.headers[-2:] == (("Reason", 'Q.850;cause=16;text="goodbye"'), ("X-A", "1"))
    assert session.bye() == []
    assert session.on_response(response(bye, 100)) == []
    assert session.on_response(response(bye, 200)) == [Ended(Initiator.CALLEE, "goodbye", 200)]
    assert session.state is State.ENDED


@pytest.mark.parametrize("code", [400, 481, 503])
def test_bye_ends_the_call_however_it_is_answered(code: int) -> None:
    session = confirmed()

    bye = sole(session.bye(initiator=Initiator.SYSTEM, code=503))

    assert field(bye, "Reason") == BYE_REASON
    assert session.on_response(response(bye, code)) == [Ended(Initiator.SYSTEM, "", 503)]


@pytest.mark.parametrize("cseq", [1, None])
def test_an_unanswered_bye_ends_the_call(cseq: int | None) -> None:
    session = confirmed()
    session.bye()

    assert session.on_timeout(408, 99) == []
    assert session.on_timeout(408, cseq) == [Ended(Initiator.CALLEE, "", 200)]
    assert session.on_timeout() == []


def test_bye_waits_for_the_ack() -> None:
    session = accepted()

    assert session.bye("goodbye") == []
    assert session.state is State.LEAVING
    assert session.bye() == []
    assert codes(session.on_request(request("INFO", 2), "1:2")) == [481]
    stop, bye = session.on_ack(request("ACK", 1))
    assert stop == StopTimer(Timer.ACK)
    assert isinstance(bye, Send)
    assert session.on_response(response(bye, 200)) == [Ended(Initiator.CALLEE, "goodbye", 200)]


def test_bye_waits_for_the_ack_no_longer_than_the_timer() -> None:
    session = accepted()
    session.bye("goodbye")

    bye, ended = session.on_timer(Timer.ACK)

    assert isinstance(bye, Send)
    assert field(bye, "Reason") == 'Q.850;cause=16;text="goodbye"'
    assert ended == Ended(Initiator.CALLEE, "goodbye", 200)


def test_crossing_byes_name_the_first() -> None:
    session = confirmed()
    session.bye("mine")

    assert session.on_request(request("BYE", 2), "1:2")[-1] == Ended(Initiator.CALLEE, "mine", 200)

    session = accepted()
    session.bye("mine")
    assert session.on_request(request("BYE", 2), "1:2")[1:] == [
        StopTimer(Timer.ACK),
        Ended(Initiator.CALLEE, "mine", 200),
    ]


def test_a_challenged_bye_is_repeated_with_credentials() -> None:
    session = confirmed(Credentials("bot", "secret"))
    bye = sole(session.bye("x"))

    again = sole(session.on_response(challenge(bye, 407)))

    assert field(again, "CSeq") == "2 BYE"
    assert (field(again, "Proxy-Authorization") or "").startswith("Digest ")
    assert field(again, "Reason") == field(bye, "Reason")
    assert session.on_response(challenge(bye, 407)) == []
    assert session.on_response(challenge(again, 407)) == [Ended(Initiator.CALLEE, "x", 200)]


def test_a_challenged_bye_without_credentials_ends_the_call() -> None:
    session = confirmed()

    assert session.on_response(challenge(sole(session.bye("x")))) == [Ended(Initiator.CALLEE, "x", 200)]


def test_a_re_invite_is_offered_and_answered() -> None:
    session = confirmed()
    again = request("INVITE", 2, sdp=SDP, contact="<sip:alice@192.0.2.99>")

    assert session.on_request(again, "1:2", "udp:192.0.2.99:5060") == [Offered("1:2", SDP)]
    assert str(session.dialog.target) == "sip:alice@192.0.2.1:5062"
    assert session.answer_offer("9:9", OURS) == []
    reply, timer = session.answer_offer("1:2", OURS)

    assert reply == Reply(
        "1:2",
        200,
        "OK",
        OUR_TAG,
        (("Contact", f"<{OUR_CONTACT}>"), *CAPABILITIES, ("Content-Type", "application/sdp")),
        OURS,
    )
    assert timer == StartTimer(Timer.ACK, ACK_TIMEOUT)
    assert str(session.dialog.target) == "sip:alice@192.0.2.99"
    assert session.answer_offer("1:2", OURS) == []
    assert session.on_ack(request("ACK", 2)) == [StopTimer(Timer.ACK)]


def test_a_re_invite_whose_ack_is_missing_ends_the_call() -> None:
    session = confirmed()
    session.on_request(request("INVITE", 2, sdp=SDP), "1:2")
    session.answer_offer("1:2", OURS)

    assert session.on_timer(Timer.ACK)[-1] == Ended(Initiator.SYSTEM, "no ACK", 408)


def test_a_re_invite_without_an_offer_gets_ours() -> None:
    session = confirmed()

    assert session.on_request(request("INVITE", 2), "1:2") == [Offered("1:2", b"")]
    session.answer_offer("1:2", OURS)
    assert session.on_ack(request("ACK", 2, sdp=SDP)) == [StopTimer(Timer.ACK), Answered(SDP)]


def test_a_refused_offer_changes_nothing() -> None:
    session = confirmed()
    session.on_request(request("INVITE", 2, sdp=SDP, contact="<sip:alice@192.0.2.99>"), "1:2")

    assert session.refuse_offer("9:9") == []
    assert session.refuse_offer("1:2") == [Reply("1:2", 488, "Not Acceptable Here", OUR_TAG)]
    assert session.refuse_offer("1:2") == []
    assert str(session.dialog.target) == "sip:alice@192.0.2.1:5062"
    assert session.on_ack(request("ACK", 2)) == []
    assert session.on_request(request("INVITE", 3, sdp=SDP), "1:3") == [Offered("1:3", SDP)]


def test_a_cancelled_re_invite_leaves_the_call() -> None:
    session = confirmed()

    assert session.on_cancel() == []
    session.on_request(request("INVITE", 2, sdp=SDP), "1:2")
    assert session.on_cancel() == [Reply("1:2", 487, "Request Terminated", OUR_TAG)]
    assert session.answer_offer("1:2", OURS) == []
    session.on_request(request("UPDATE", 3, sdp=SDP), "1:3")
    assert session.on_cancel() == []
    assert session.state is State.CONFIRMED


def test_update() -> None:
    session = confirmed()

    assert session.on_request(request("UPDATE", 2, sdp=SDP), "1:2") == [Offered("1:2", SDP)]
    (reply,) = session.answer_offer("1:2", OURS)
    assert isinstance(reply, Reply)
    assert (reply.code, reply.body) == (200, OURS)

    (reply,) = session.on_request(request("UPDATE", 3, contact="<sip:alice@192.0.2.99>"), "1:3")
    assert isinstance(reply, Reply)
    assert reply == Reply("1:3", 200, "OK", OUR_TAG, (("Contact", f"<{OUR_CONTACT}>"), *CAPABILITIES))
    assert str(session.dialog.target) == "sip:alice@192.0.2.99"


def test_offers_do_not_overlap() -> None:
    session = confirmed()
    session.on_request(request("INVITE", 2, sdp=SDP), "1:2")

    assert session.on_request(request("UPDATE", 3, sdp=SDP), "1:3") == [
        Reply("1:3", 500, "Server Internal Error", OUR_TAG, (("Retry-After", "3"),))
    ]
    with pytest.raises(SipError, match="pending"):
        session.offer(OURS)


def test_glare() -> None:
    session = confirmed()
    ours = sole(session.offer(OURS))

    assert codes(session.on_request(request("INVITE", 2, sdp=SDP), "1:2")) == [491]
    assert codes(session.on_request(request("UPDATE", 3), "1:3")) == [200]
    with pytest.raises(SipError, match="pending"):
        session.offer(OURS)
    assert session.on_response(response(ours, 491)) == [Rejected(491, "Request Pending")]
    assert session.on_request(request("INVITE", 4, sdp=SDP), "1:4") == [Offered("1:4", SDP)]


def test_we_offer() -> None:
    session = confirmed()
    ours = sole(session.offer(OURS))

    assert (ours.method, ours.body, field(ours, "Contact")) == ("INVITE", OURS, f"<{OUR_CONTACT}>")
    assert session.on_response(response(ours, 180)) == []
    answer = response(ours, 200, sdp=SDP, contact="<sip:alice@192.0.2.99>")
    assert session.on_response(answer, PEER_SOURCE) == [Answered(SDP)]
    assert session.on_response(answer) == []
    assert str(session.dialog.target) == "sip:alice@192.0.2.99"


def test_a_challenged_offer_is_repeated() -> None:
    session = confirmed(Credentials("bot", "secret"))

    again = sole(session.on_response(challenge(sole(session.offer(OURS)))))

    assert (again.method, again.body) == ("INVITE", OURS)
    (rejected,) = session.on_response(challenge(again))
    assert isinstance(rejected, Rejected)
    assert rejected.code == 401
    assert "refused the credentials of bot" in rejected.reason


@pytest.mark.parametrize("code", [408, 481])
def test_a_peer_that_has_lost_the_dialog_is_hung_up(code: int) -> None:
    session = confirmed()

    rejected, bye = session.on_response(response(sole(session.offer(OURS)), code, "Gone"))

    assert rejected == Rejected(code, "Gone")
    assert isinstance(bye, Send)
    assert session.on_response(response(bye, 481)) == [Ended(Initiator.SYSTEM, "Gone", code)]


def test_an_unanswered_offer_hangs_up() -> None:
    session = confirmed()
    session.offer(OURS)

    rejected, bye = session.on_timeout()

    assert rejected == Rejected(408, "Request Timeout")
    assert isinstance(bye, Send)


@pytest.mark.parametrize("code", [200, 401, 488])
def test_responses_to_an_offer_do_not_matter_once_we_have_hung_up(code: int) -> None:
    session = confirmed(Credentials("bot", "secret"))
    ours = sole(session.offer(OURS))
    session.bye()

    late = challenge(ours) if code == 401 else response(ours, code, sdp=SDP)
    assert session.on_response(late) == []
    assert session.state is State.CLOSING


def test_hanging_up_answers_the_pending_offer() -> None:
    session = confirmed()
    session.on_request(request("INVITE", 2, sdp=SDP), "1:2")

    reply, bye = session.bye()

    assert reply == Reply("1:2", 487, "Request Terminated", OUR_TAG)
    assert isinstance(bye, Send)

    session = confirmed()
    session.on_request(request("INVITE", 2, sdp=SDP), "1:2")
    assert codes(session.on_request(request("BYE", 3), "1:3")) == [200, 487]


def test_requests_of_others_and_old_ones_are_refused() -> None:
    session = confirmed()

    assert codes(session.on_request(request("BYE", 2, from_tag="other"), "1:2")) == [481]
    assert codes(session.on_request(request("INFO", 5), "1:3")) == [200]
    assert codes(session.on_request(request("BYE", 4), "1:4")) == [500]
    assert session.state is State.CONFIRMED


def test_offers_are_screened() -> None:
    session = confirmed()

    assert codes(session.on_request(request("INVITE", 2, sdp=SDP, headers=(("Require", "x"),)), "1:2")) == [
        420
    ]
    assert codes(session.on_request(request("UPDATE", 3, body=b"x"), "1:3")) == [415]


def test_digits_are_reported() -> None:
    info = request("INFO", 2, headers=(("Content-Type", "application/dtmf"),), body=b"5")

    assert confirmed().on_request(info, "1:2")[1:] == [Digit("5", 160)]


def test_unknown_responses_are_ignored() -> None:
    session = confirmed()
    bye = sole(session.bye())
    other = Send("INFO", bye.uri, "", tuple((n, "1 INFO" if n == "CSeq" else v) for n, v in bye.headers))

    assert session.on_response(response(other, 200)) == []
    assert session.state is State.CLOSING

import pytest

from control.errors import DigestError
from control.sip.auth import Challenges
from control.sip.digest import Credentials
from control.sip.effects import Send
from tests.support.siptext import challenge

SENT = Send(
    "REGISTER",
    "sip:example.com",
    "",
    (("From", "<sip:a@b.c>;tag=1"), ("To", "<sip:a@b.c>"), ("Call-ID", "c"), ("CSeq", "1 REGISTER")),
)


def challenges() -> Challenges:
    return Challenges(Credentials("alice", "secret"))


def test_a_challenge_is_answered() -> None:
    ((name, value),) = challenges().answer(challenge(SENT), "REGISTER", "sip:example.com")

    assert name == "Authorization"
    assert 'username="alice"' in value
    assert 'nonce="n1"' in value
    assert "secret" not in value


def test_without_credentials_there_is_no_answer() -> None:
    with pytest.raises(DigestError, match="407: .* none are configured"):
        Challenges(None).answer(challenge(SENT, 407), "REGISTER", "sip:example.com")


def test_a_second_challenge_is_a_refusal() -> None:
    met = challenges()
    met.answer(challenge(SENT), "REGISTER", "sip:example.com")

    with pytest.raises(DigestError, match="401: .* refused the credentials of alice"):
        met.answer(challenge(SENT, nonce="n2"), "REGISTER", "sip:example.com")


def test_a_stale_nonce_is_replaced_once() -> None:
    met = challenges()
    met.answer(challenge(SENT), "REGISTER", "sip:example.com")

    ((_, value),) = met.answer(challenge(SENT, nonce="n2", stale=True), "REGISTER", "sip:example.com")

    assert 'nonce="n2"' in value
    with pytest.raises(DigestError, match="refused"):
        met.answer(challenge(SENT, nonce="n3", stale=True), "REGISTER", "sip:example.com")


def test_proxy_and_registrar_are_both_answered_and_nonces_counted() -> None:
    met = challenges()
    met.answer(challenge(SENT, 407, nonce="p"), "REGISTER", "sip:example.com")

    proxy, registrar = met.answer(challenge(SENT, 401, nonce="r"), "REGISTER", "sip:example.com")

    assert proxy[0] == "Proxy-Authorization"
    assert "nc=00000002" in proxy[1]
    assert registrar[0] == "Authorization"
    assert "nc=00000001" in registrar[1]


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(DigestError):
        challenges().answer(challenge(SENT, algorithm="ROT13"), "REGISTER", "sip:example.com")

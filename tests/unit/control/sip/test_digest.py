import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import DigestError
from control.sip.digest import Challenge, Credentials, authorize
from control.sip.message import Headers, Response

MUFASA = Credentials("Mufasa", "Circle of Life")
ALICE = Credentials("alice", "secret")
RFC7616 = {
    "qop": "auth, auth-int",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}


def unauthorized(*challenges: str) -> Response:
    return Response(401, "Unauthorized", Headers(tuple(("WWW-Authenticate", value) for value in challenges)))


def challenge(**params: str) -> str:
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in params.items())


def answered(*challenges: str, credentials: Credentials = ALICE, **more: str) -> dict[str, str]:
    """Parameters of the answer to REGISTER sip:example.com."""
    name, value = authorize(
        unauthorized(*challenges),
        "REGISTER",
        "sip:example.com",
        credentials,
        body=more.get("body", "").encode(),
        cnonce="0a4f113b",
    )
    assert name == "Authorization"
    return params_of(value)


def params_of(value: str) -> dict[str, str]:
    assert value.startswith("Digest ")
    return {
        name: quoted or token
        for name, quoted, token in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^",]+))', value)
    }


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode()).hexdigest()


def test_rfc2617_example() -> None:
    response = unauthorized(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    credentials = Credentials("Mufasa", "Circle Of Life")
    assert authorize(response, "GET", "/dir/index.html", credentials, cnonce="0a4f113b") == (
        "Authorization",
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'uri="/dir/index.html", response="6629fae49393a05397450978507c4ef1", cnonce="0a4f113b", qop=auth, '
        'nc=00000001, opaque="5ccc069c403ebaf9f0171e9517f40e41"',
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc7616_example(algorithm: str, response: str) -> None:
    value = challenge(realm="http-auth@example.org", algorithm=algorithm, **RFC7616)
    _, answer = authorize(
        unauthorized(value),
        "GET",
        "/dir/index.html",
        MUFASA,
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert params_of(answer) == {
        "username": "Mufasa",
        "realm": "http-auth@example.org",
        "nonce": RFC7616["nonce"],
        "uri": "/dir/index.html",
        "response": response,
        "algorithm": algorithm,
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
        "nc": "00000001",
        "opaque": RFC7616["opaque"],
    }


def test_without_qop_as_in_rfc2069() -> None:
    answer = answered(challenge(realm="pbx", nonce="n1"))
    assert answer == {
        "username": "alice",
        "realm": "pbx",
        "nonce": "n1",
        "uri": "sip:example.com",
        "response": md5(md5("alice", "pbx", "secret"), "n1", md5("REGISTER", "sip:example.com")),
    }


def test_session_algorithm_binds_the_key_to_both_nonces() -> None:
    answer = answered(challenge(realm="pbx", nonce="n1", algorithm="MD5-sess", qop="auth"))
    key = md5(md5("alice", "pbx", "secret"), "n1", "0a4f113b")
    request = md5("REGISTER", "sip:example.com")
    assert answer["response"] == md5(key, "n1", "00000001", "0a4f113b", "auth", request)
    assert answer["algorithm"] == "MD5-sess"


def test_auth_int_covers_the_body() -> None:
    answer = answered(challenge(realm="pbx", nonce="n1", qop="AUTH-INT"), body="v=0")
    request = md5("REGISTER", "sip:example.com", md5("v=0"))
    key = md5("alice", "pbx", "secret")
    assert answer["response"] == md5(key, "n1", "00000001", "0a4f113b", "auth-int", request)
    assert answer["qop"] == "auth-int"


def test_sha512_256() -> None:
    answer = answered(challenge(realm="pbx", nonce="n1", algorithm="SHA-512-256"))

    def digest(*parts: str) -> str:
        return hashlib.new("sha512_256", ":".join(parts).encode()).hexdigest()

    request = digest("REGISTER", "sip:example.com")
    assert answer["response"] == digest(digest("alice", "pbx", "secret"), "n1", request)
    assert len(answer["response"]) == 64


def test_a_proxy_is_answered_in_its_own_header() -> None:
    headers = Headers(
        (
            ("WWW-Authenticate", challenge(realm="server", nonce="n1")),
            ("proxy-authenticate", challenge(realm="proxy", nonce="n2")),
        )
    )
    name, value = authorize(Response(407, "", headers), "INVITE", "sip:bob@example.com", ALICE)
    assert name == "Proxy-Authorization"
    assert params_of(value)["realm"] == "proxy"


def test_the_strongest_challenge_is_answered_and_the_topmost_of_equals() -> None:
    answer = answered(
        challenge(realm="a", nonce="n1", algorithm="MD5"),
        challenge(realm="b", nonce="n2", algorithm="sha-256"),
        challenge(realm="c", nonce="n3", algorithm="SHA-256-sess", qop="auth"),
        challenge(realm="d", nonce="n4", algorithm="SHA3-512"),
        "Basic realm=x",
    )
    assert (answer["realm"], answer["algorithm"]) == ("b", "sha-256")


def test_only_the_realm_of_the_credentials_is_answered() -> None:
    weak = challenge(realm="ours", nonce="n1")
    strong = challenge(realm="theirs", nonce="n2", algorithm="SHA-256")
    assert answered(strong, weak, credentials=Credentials("alice", "secret", "ours"))["realm"] == "ours"


def test_nonce_count_and_a_fresh_cnonce_for_each_request() -> None:
    response = unauthorized(challenge(realm="pbx", nonce="n1", qop="auth"))
    first, second = (
        params_of(authorize(response, "BYE", "sip:a@b", ALICE, nonce_count=count)[1]) for count in (1, 0x1F)
    )
    assert (first["nc"], second["nc"]) == ("00000001", "0000001f")
    assert first["cnonce"] != second["cnonce"]


def test_quoted_text_is_hashed_without_escapes_and_sent_with_them() -> None:
    answer = answered(
        r'Digest realm="the \"inner\" \\ one",nonce="n1"', credentials=Credentials('a"b', "secret")
    )
    assert answer["realm"] == r"the \"inner\" \\ one"
    assert answer["username"] == r"a\"b"
    key = md5('a"b', 'the "inner" \\ one', "secret")
    assert answer["response"] == md5(key, "n1", md5("REGISTER", "sip:example.com"))


def test_text_beyond_ascii_is_utf8() -> None:
    answer = answered(challenge(realm="tür", nonce="n1"), credentials=Credentials("jürgen", "pässe"))
    key = md5("jürgen", "tür", "pässe")
    assert answer["response"] == md5(key, "n1", md5("REGISTER", "sip:example.com"))


def test_parse_reads_all_there_is() -> None:
    value = (
        'DIGEST  Realm = "pbx" ,nonce=n1,, algorithm=MD5,stale=TRUE, qop="auth , auth-int,", '
        'opaque="",domain="sip:a sip:b",'
    )
    assert Challenge.parse(value) == Challenge("pbx", "n1", "MD5", ("auth", "auth-int"), "", True)
    assert Challenge.parse('Digest realm="",nonce="n"') == Challenge("", "n")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "not of the Digest scheme"),
        ('Basic realm="a"', "not of the Digest scheme"),
        ('Digest realm="a"', "has no nonce"),
        ('Digest nonce="a"', "has no realm"),
        ("Digest ", "has no realm"),
        ('Digest realm="a", realm="b", nonce="n"', "has realm twice"),
        ('Digest realm="a", nonce="n', "has no NAME=VALUE at"),
        ('Digest realm="a" nonce="n"', "has no NAME=VALUE at"),
        ('Digest realm="a", nonce=', "has no NAME=VALUE at"),
        ('Digest realm="a\r\nb", nonce="n"', "has a control character"),
    ],
)
def test_bad_challenges(value: str, message: str) -> None:
    with pytest.raises(DigestError, match=message):
        Challenge.parse(value)


@pytest.mark.parametrize(
    ("challenges", "message"),
    [
        ([], "WWW-Authenticate: no challenge that we can answer: it is missing"),
        ([challenge(realm="a", nonce="n", algorithm="SHA3-512")], "algorithm 'SHA3-512' is unknown"),
        ([challenge(realm="a", nonce="n", qop="token")], "qop 'token' is unknown"),
        ([challenge(realm="a", nonce="n", algorithm="MD5-sess")], "algorithm MD5-sess needs qop"),
        (["Basic x", "Digest x"], "not of the Digest scheme; challenge 'Digest x' has no"),
    ],
)
def test_says_why_no_challenge_can_be_answered(challenges: list[str], message: str) -> None:
    with pytest.raises(DigestError, match=message):
        answered(*challenges)


def test_says_which_realm_was_asked_for() -> None:
    with pytest.raises(DigestError, match="realm 'theirs' is not 'ours'"):
        answered(challenge(realm="theirs", nonce="n"), credentials=Credentials("a", "b", "ours"))


def test_only_401_and_407_are_challenges() -> None:
    with pytest.raises(DigestError, match="403 is no challenge"):
        authorize(Response(403, "Forbidden"), "INVITE", "sip:a@b", ALICE)


@pytest.mark.parametrize("count", [0, 2**32])
def test_nonce_count_has_eight_digits(count: int) -> None:
    with pytest.raises(DigestError, match="nonce count"):
        authorize(
            unauthorized(challenge(realm="a", nonce="n")), "INVITE", "sip:a@b", ALICE, nonce_count=count
        )


def test_a_header_is_never_broken_by_our_own_values() -> None:
    with pytest.raises(DigestError, match="control character"):
        answered(challenge(realm="a", nonce="n"), credentials=Credentials("a\r\nX: y", "b"))


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(ALICE)


PARAM = st.builds(
    "{}={}".format,
    st.sampled_from(["realm", "nonce", "qop", "algorithm", "opaque", "stale"]),
    st.text(max_size=8).map('"{}"'.format) | st.sampled_from(["MD5", "SHA-256-sess", '"auth"', "true", ""]),
)


@given(st.text(max_size=60) | st.lists(PARAM).map(lambda params: "Digest " + ",".join(params)))
def test_any_text_gives_an_answer_or_a_digest_error(value: str) -> None:
    try:
        answer = answered(value)
    except DigestError:
        return
    assert len(answer["response"]) in (32, 64)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)


@given(realm=TEXT, nonce=TEXT, opaque=TEXT)
def test_what_is_quoted_comes_back_the_same(realm: str, nonce: str, opaque: str) -> None:
    def quote(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    value = f"Digest realm={quote(realm)}, nonce={quote(nonce)}, opaque={quote(opaque)}"
    _, answer = authorize(unauthorized(value), "INVITE", "sip:a@b", ALICE)
    for name, text in (("realm", realm), ("nonce", nonce), ("opaque", opaque)):
        assert f"{name}={quote(text)}" in answer

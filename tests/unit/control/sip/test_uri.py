from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import UriError
from control.sip.uri import NameAddr, SipUri, find_param, parse_name_addr, parse_params, parse_uri, shorten


def test_all_parts_of_a_uri() -> None:
    uri = parse_uri("SIPS:alice:secret@example.com:5061;transport=tcp;lr;x=?subject=a%20b&priority=urgent")

    assert uri == SipUri(
        "sips",
        "alice",
        "secret",
        "example.com",
        5061,
        (("transport", "tcp"), ("lr", None), ("x", "")),
        (("subject", "a%20b"), ("priority", "urgent")),
    )
    assert uri.param("TRANSPORT") == "tcp"
    assert uri.param("lr") == ""
    assert uri.param("maddr") is None


@pytest.mark.parametrize(
    "text",
    [
        "sip:example.com",
        "sip:alice@example.com",
        "sip:alice:@example.com",
        "sip:[2001:db8::1]:5070;transport=udp",
        "sip:alice@[::1]",
        "sip:user;par=u%40example.net@example.com",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d@example.com",
        "sip:sips%3Auser%40example.com@example.net",
        "sip:null-%00-null@example.com",
        "sip:*31#123@example.com",
        "sip:jürgen@example.com",
        "tel:+1-201-555-0123",
        "tel:7042;phone-context=example.com",
        "isbn:2983792873",
        "nobodyKnowsThisScheme:totallyopaquecontent".lower(),
        "http://www.example.com/?a=b",
    ],
)
def test_a_uri_is_kept_as_it_was_written(text: str) -> None:
    assert str(parse_uri(text)) == text


def test_a_telephone_number_is_the_user() -> None:
    uri = parse_uri("tel:+1-201;phone-context=x")

    assert (uri.scheme, uri.user, uri.host, uri.param("phone-context")) == ("tel", "+1-201", "", "x")


def test_the_user_name_is_decoded_on_request() -> None:
    assert parse_uri("sip:a%40b%C3%A9%FF@example.com").username == "a@bé\udcff"


def test_empty_uri_parameters_are_dropped() -> None:
    assert str(parse_uri("sip:100@192.0.2.1;;lr;")) == "sip:100@192.0.2.1;lr"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no scheme"),
        ("alice@example.com", "no scheme"),
        ("1sip:alice@example.com", "no scheme"),
        ("sip:", "not a host name"),
        ("sip:@example.com", "no user"),
        ("sip::secret@example.com", "needs a user"),
        ("sip:a@b@example.com", "must be escaped"),
        ("sip:exa mple.com", "' ' must be escaped"),
        ("<sip:user@example.com>", "no scheme"),
        ("sip:user@<example.com>", "must be escaped"),
        ("sip:a\r\nb@example.com", "must be escaped"),
        ("sip:exämple.com", "not a host name"),
        ("sip:[::1", "not host or host:port"),
        ("sip:[::g]", "not a host name"),
        ("sip:[1::2::3]", "bad IPv6 host"),
        ("sip:example.com:", "not host or host:port"),
        ("sip:example.com:0", "not within 1 to 65535"),
        ("sip:example.com:65536", "not within 1 to 65535"),
        ("sip:example.com:٣", "not host or host:port"),
        ("sip:example.com;=x", "bad parameter"),
        ("sip:example.com?=x", "bad header"),
        ("sip:example.com?a=b&&c=d", "bad header"),
        ("tel:bob@example", "not a telephone number"),
        ("tel:", "not a telephone number"),
        ("tel:+1?a=b", "no headers"),
        ("tel:+1;=b", "bad parameter"),
        ("isbn:", "something after the colon"),
    ],
)
def test_bad_uris(text: str, why: str) -> None:
    with pytest.raises(UriError, match=why):
        parse_uri(text)


@pytest.mark.parametrize(
    "parts",
    [
        SipUri("sip", "a", host="example.com"),
        SipUri("tel", "+1"),
        SipUri("isbn", "1"),
    ],
)
def test_parts_that_cannot_stand_are_refused_in_the_constructor_too(parts: SipUri) -> None:
    with pytest.raises(UriError):
        replace(parts, user="a\r\nX-Evil: 1")
    with pytest.raises(UriError):
        replace(parts, user="a:b" if parts.host else "", password="c@d" if parts.host else None)
    with pytest.raises(UriError):
        replace(parts, params=(("a;b", None),))
    if not parts.host:
        with pytest.raises(UriError, match="only sip"):
            replace(parts, host="example.com")


def test_long_texts_are_cut_in_messages() -> None:
    assert len(shorten("x" * 10_000)) < 90


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ("<sip:a@b.c>;tag=1", "", "sip:a@b.c", "1"),
        ("sip:a@b.c;tag=1", "", "sip:a@b.c", "1"),
        ("sip:a@b.c ;   tag    = 1918181833n", "", "sip:a@b.c", "1918181833n"),
        (
            '"J Rosenberg \\\\\\""       <sip:j@b.c>  ;  tag = 98asjd8',
            'J Rosenberg \\"',
            "sip:j@b.c",
            "98asjd8",
        ),
        ("caller<sip:caller@b.c>;tag=323", "caller", "sip:caller@b.c", "323"),
        (
            "token1~` token2'+_ token3*%!.- <sip:m@b.c>;tag=_token~1'+`*%!-.",
            "token1~` token2'+_ token3*%!.-",
            "sip:m@b.c",
            "_token~1'+`*%!-.",
        ),
        ('"Work, \tdesk" <sip:a@b.c>;x="a;b,c\\"";tag=1', "Work, \tdesk", "sip:a@b.c", "1"),
        ("Müller <sip:a@b.c>", "Müller", "sip:a@b.c", None),
        ("<sip:a@b.c>;tag=", "", "sip:a@b.c", None),
        ("<sip:a@b.c;tag=inside>", "", "sip:a@b.c;tag=inside", None),
        ("<http://www.example.com>;tag=9", "", "http://www.example.com", "9"),
        ('"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:a@b.c>', "BEL:\x07 NUL:\x00 DEL:\x7f", "sip:a@b.c", None),
    ],
)
def test_name_addr(text: str, display: str, uri: str, tag: str | None) -> None:
    address = parse_name_addr(text)

    assert (address.display, str(address.uri), address.tag) == (display, uri, tag)
    assert parse_name_addr(str(address)) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('"Mr. J. User <sip:j.user@example.com>', "never closed"),
        ("<sip:a@b.c", "never closed"),
        ('"Alice" sip:a@b.c', "must be followed by <URI>"),
        ("Bell, Alexander <sip:a.g.bell@example.com>;tag=43", "',' in a display name needs quotes"),
        ('"Watson, Thomas" < sip:t.watson@example.org >', "no scheme"),
        ("sip:user@example.com?Route=%3Csip:sip.example.com%3E", "must stand in <>"),
        ('"Joe" <sip:joe@example.org>;;;;', "expected ';name'"),
        ("<sip:a@b.c> tag=1", "expected ';name'"),
        ("", "no scheme"),
    ],
)
def test_bad_name_addrs(text: str, why: str) -> None:
    with pytest.raises(UriError, match=why):
        parse_name_addr(text)


def test_a_name_addr_of_ours_cannot_break_the_line() -> None:
    uri = parse_uri("sip:a@b.c")

    with pytest.raises(UriError, match="line break"):
        NameAddr("Eve\r\nX-Evil: 1", uri)
    with pytest.raises(UriError, match="parameters"):
        NameAddr("", uri, (("tag", "1\r\nX-Evil: 1"),))
    with pytest.raises(UriError, match="parameters"):
        NameAddr("", uri, (("tag", "1;b"),))
    assert (
        str(NameAddr('say "hi"\\', uri, (("tag", "1"), ("q", None))))
        == '"say \\"hi\\"\\\\" <sip:a@b.c>;tag=1;q'
    )


def test_params() -> None:
    params = parse_params(' ; A = 1;b;c="x;\\"y" ')

    assert params == (("A", "1"), ("b", None), ("c", '"x;\\"y"'))
    assert find_param(params, "a") == "1"
    assert find_param(params, "B") == ""
    assert find_param(params, "d") is None
    assert parse_params("") == ()


URI_CHARACTERS = st.text(
    st.characters(min_codepoint=0x21, exclude_characters='<>"\x7f@:;?&='), min_size=1, max_size=8
)
PAIRS = st.lists(st.tuples(URI_CHARACTERS, st.none() | URI_CHARACTERS), max_size=3).map(tuple)
HOSTS = st.sampled_from(["example.com", "192.0.2.1", "[2001:db8::1]", "a_b-c.d"])
SIP_URIS = st.builds(
    SipUri,
    st.sampled_from(["sip", "sips"]),
    st.text(st.characters(min_codepoint=0x21, exclude_characters='<>"\x7f@:'), min_size=1, max_size=8),
    st.none() | st.just("") | URI_CHARACTERS,
    HOSTS,
    st.none() | st.integers(1, 65535),
    PAIRS,
    PAIRS,
)


@given(SIP_URIS)
def test_a_written_uri_is_parsed_back(uri: SipUri) -> None:
    assert parse_uri(str(uri)) == uri


@given(st.text(st.characters(exclude_characters="\r\n"), max_size=20), SIP_URIS)
def test_a_written_name_addr_is_parsed_back(display: str, uri: SipUri) -> None:
    address = NameAddr(display, uri, (("tag", "1"),))

    assert parse_name_addr(str(address)) == address


FRAGMENTS = st.sampled_from(
    [
        *'<>"@;:,?&=%\\ \t\r\n\0',
        "sip:",
        "tel:",
        "+1",
        "alice",
        "example.com",
        "[::1]",
        "5060",
        "tag",
        "é",
        "\udc80",
    ]
)


@given(
    st.lists(FRAGMENTS, max_size=12).map("".join)
    | st.lists(FRAGMENTS, max_size=8).map("".join).map("<sip:a@b".__add__)
)
def test_any_text_is_refused_or_written_stably(text: str) -> None:
    try:
        written = str(parse_uri(text))
    except UriError:
        pass
    else:
        assert str(parse_uri(written)) == written
    try:
        written = str(parse_name_addr(text))
    except UriError:
        return
    assert str(parse_name_addr(written)) == written
    assert "\r" not in written
    assert "\n" not in written

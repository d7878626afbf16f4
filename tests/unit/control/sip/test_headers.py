import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import SipError
from control.sip.headers import Headers, printable, safe_headers, split_list


def test_fields_are_found_without_case_and_keep_their_order() -> None:
    headers = Headers((("Via", "one"), ("X-A", "1"), ("via", "two, three"), ("x-a", "")))

    assert headers.get("VIA") == "one"
    assert headers.get("Route") is None
    assert headers.all("X-a") == ("1", "")
    assert headers.split("Via") == ("one", "two", "three")
    assert "x-A" in headers
    assert "Route" not in headers
    assert len(headers) == 4
    assert list(headers)[0] == ("Via", "one")


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("a", ("a",)),
        (" a , b\t,c", ("a", "b", "c")),
        (
            '"x, y" <sip:a@b.c>, <sip:d,e@f>;p="q,\\",r", z',
            ('"x, y" <sip:a@b.c>', '<sip:d,e@f>;p="q,\\",r"', "z"),
        ),
        ("a,,b", ("a", "", "b")),
        ('"never closed, b', ('"never closed, b',)),
        ("", ("",)),
    ],
)
def test_lists_are_split_outside_of_quotes_and_brackets(value: str, elements: tuple[str, ...]) -> None:
    assert split_list(value) == elements


@given(st.lists(st.text(st.sampled_from("ab;= "), min_size=1).map(str.strip), min_size=1))
def test_joined_elements_come_apart_again(elements: list[str]) -> None:
    assert split_list(", ".join(elements)) == tuple(elements)


def test_harmless_headers_pass() -> None:
    wanted = {
        "X-Account": " 42 ",
        "Subject": "Grüße",
        "P-Asserted-Identity": "<sip:a@b.c>",
        "User-to-User": "a\tb",
    }

    assert safe_headers(wanted) == (
        ("X-Account", "42"),
        ("Subject", "Grüße"),
        ("P-Asserted-Identity", "<sip:a@b.c>"),
        ("User-to-User", "a\tb"),
    )


@pytest.mark.parametrize(
    "name",
    ["Via", "FROM", "t", "i", "Call-ID", "cseq", "m", "Route", "Record-Route", "Max-Forwards", "Content-Type"]
    + [
        "l",
        "content-disposition",
        "Authorization",
        "Proxy-Authorization",
        "X-Sidecall",
        "x-sidecall-fr",
        "k",
    ],
)
def test_headers_that_we_write_are_refused(name: str) -> None:
    with pytest.raises(SipError, match=f"'{name}': is written by Sidecall"):
        safe_headers({name: "x"})


@pytest.mark.parametrize("name", ["", "X A", "X:", "X\r\nY", "Ü", "X-Sidecall ", "X\0", "X!"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(SipError, match="is not a header name"):
        safe_headers({name: "x"})


@pytest.mark.parametrize("value", ["a\r\nVia: x", "a\n", "\r", "a\0", "\x7f", "\ud800"])
def test_values_that_break_out_are_refused(value: str) -> None:
    with pytest.raises(SipError, match="'X-A': its value holds the character"):
        safe_headers({"X-A": value})


def test_too_much_is_refused() -> None:
    with pytest.raises(SipError, match="longer than"):
        safe_headers({"X-A": "a" * 1025})
    with pytest.raises(SipError, match="more than 32"):
        safe_headers({f"X-{number}": "" for number in range(33)})


def test_printable_text_can_be_encoded() -> None:
    assert printable("Gr\udcfc\udcdfe é") == "Gr\ufffd\ufffde é"

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.sip.effects import Send
from control.sip.status import phrase, reason_header, reason_text, response_reason
from tests.support.siptext import request, response


@pytest.mark.parametrize(
    ("code", "text"),
    [(486, "Busy Here"), (199, "Progress"), (299, "OK"), (499, "Request Failure"), (699, "Global Failure")],
)
def test_phrases(code: int, text: str) -> None:
    assert phrase(code) == text


def test_a_reason_header_is_quoted() -> None:
    assert reason_header(486, 'say "no"\\') == ("Reason", 'SIP;cause=486;text="say \\"no\\"\\\\"')
    assert reason_header(16, "bye", "Q.850") == ("Reason", 'Q.850;cause=16;text="bye"')


def test_a_reason_cannot_break_the_line() -> None:
    assert reason_header(486, "a\r\nVia: b\0\ud800")[1] == 'SIP;cause=486;text="a  Via: b  "'
    assert len(reason_header(486, "x" * 1000)[1]) < 250


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((), "BYE"),
        (('Q.850;cause=16;text="Normal call clearing"',), "Normal call clearing"),
        (('SIP;cause=200, Q.850;cause=16;text="a, \\"b\\""',), 'a, "b"'),
        (("SIP;;", "SIP ;cause=200 ;text=elsewhere"), "elsewhere"),
        (('SIP;text=""',), "BYE"),
        (("",), "BYE"),
    ],
)
def test_the_text_of_a_reason_is_read(values: tuple[str, ...], text: str) -> None:
    assert reason_text(request("BYE", 2, headers=tuple(("Reason", value) for value in values)), "BYE") == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=50).filter(str.strip))
def test_what_we_write_is_read(text: str) -> None:
    assert reason_text(request("BYE", 2, headers=(reason_header(16, text),)), "") == text


def test_the_reason_of_a_response_is_fit_for_json() -> None:
    sent = Send(
        "BYE",
        "sip:a@b.c",
        "",
        (("From", "<sip:a@b.c>"), ("To", "<sip:a@b.c>"), ("Call-ID", "c"), ("CSeq", "1 BYE")),
    )

    assert response_reason(response(sent, 486, "Occup\udce9")) == "Occup\ufffd"
    assert response_reason(response(sent, 486)) == "Busy Here"

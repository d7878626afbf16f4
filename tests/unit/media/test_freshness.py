"""How long answers may be used again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from media.freshness import DEFAULT_SECONDS, MAX_SECONDS, Freshness, freshness

DATE = "Sun, 06 Nov 1994 08:00:00 GMT"
LATER = "Sun, 06 Nov 1994 08:10:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, DEFAULT_SECONDS),
        ({"cache-control": "public"}, DEFAULT_SECONDS),
        ({"Cache-Control": "private, Max-Age=60"}, 60),
        ({"Cache-Control": 'max-age="60"', "Age": "20"}, 40),
        ({"Cache-Control": "max-age=60", "Age": "80"}, 0),
        ({"Cache-Control": "max-age=60", "Expires": LATER, "Date": DATE}, 60),
        ({"Cache-Control": "max-age=-1"}, 0),
        ({"Cache-Control": "max-age=x"}, 0),
        ({"Cache-Control": "max-age=99999999999999999999"}, MAX_SECONDS),
        ({"Cache-Control": "no-cache, max-age=60"}, 0),
        ({"Expires": LATER, "Date": DATE}, 600),
        ({"Expires": DATE, "Date": LATER}, 0),
        ({"Expires": "0"}, 0),
        ({"Expires": LATER}, 0),
    ],
)
def test_lifetime(headers: dict[str, str], seconds: float) -> None:
    found = freshness(CIMultiDict(headers))
    assert (found.seconds, found.keep) == (seconds, True)


@pytest.mark.parametrize("headers", [{"Cache-Control": "max-age=60, NO-STORE"}, {"Vary": "*"}])
def test_what_must_not_be_kept(headers: dict[str, str]) -> None:
    assert not freshness(CIMultiDict(headers)).keep


def test_asking_whether_it_changed() -> None:
    found = freshness(CIMultiDict({"ETag": '"1"', "Last-Modified": DATE}))
    assert found.conditions() == {"If-None-Match": '"1"', "If-Modified-Since": DATE}
    assert Freshness().conditions() == {}


@given(st.dictionaries(st.sampled_from(["Cache-Control", "Expires", "Date", "Age", "Vary"]), st.text()))
def test_any_answer_has_a_lifetime(headers: dict[str, str]) -> None:
    assert 0 <= freshness(CIMultiDict(headers)).seconds <= MAX_SECONDS

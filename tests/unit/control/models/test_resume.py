"""Going on with a download: what is asked, and what answers mean."""

from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from control.models.resume import Begun, Body, Refused, Stale, conditions, judge

BEGUN = Begun(100, '"v1"')


def test_the_first_request_asks_for_all() -> None:
    assert conditions(None) == {}


def test_a_later_one_asks_for_the_rest_of_the_same_version() -> None:
    assert conditions(BEGUN) == {"Range": "bytes=100-", "If-Range": '"v1"'}


def test_a_whole_file() -> None:
    headers = CIMultiDict({"content-length": "500", "etag": '"v2"'})
    assert judge(200, headers, None) == Body(0, 500, '"v2"')
    assert judge(200, headers, BEGUN) == Body(0, 500, '"v2"')


def test_a_whole_file_of_unknown_length_and_version() -> None:
    assert judge(200, {}, None) == Body(0, None, None)
    assert judge(200, {"Content-Length": "many", "ETag": 'W/"weak"'}, None) == Body(0, None, None)


def test_the_date_stands_in_for_a_weak_tag() -> None:
    headers = {"ETag": 'W/"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert judge(200, headers, None) == Body(0, None, "Wed, 21 Oct 2015 07:28:00 GMT")


def test_no_header_gets_into_the_next_request() -> None:
    assert judge(200, {"Last-Modified": "now\r\nX: y"}, None) == Body(0, None, None)


def test_the_rest() -> None:
    assert judge(206, {"Content-Range": "bytes 100-499/500"}, BEGUN) == Body(100, 500, '"v1"')
    assert judge(206, {"Content-Range": "bytes 100-499/*"}, BEGUN) == Body(100, None, '"v1"')


def test_another_part_than_was_asked_for() -> None:
    assert judge(206, {"Content-Range": "bytes 0-499/500"}, BEGUN) == Stale()
    assert judge(206, {"Content-Range": "items 1"}, BEGUN) == Stale()
    assert judge(206, {}, BEGUN) == Stale()


def test_a_rest_that_is_not_there() -> None:
    assert judge(416, {"Content-Range": "bytes */50"}, BEGUN) == Stale()


def test_what_nobody_asked_for() -> None:
    assert judge(206, {"Content-Range": "bytes 0-9/10"}, None) == Refused(206)
    assert judge(416, {}, None) == Refused(416)
    assert judge(404, {}, BEGUN) == Refused(404)


TEXTS = st.text(st.characters(codec="latin-1"), max_size=30) | st.sampled_from(
    ["bytes 100-499/500", "500", '"v"', "bytes 100-1/" + "9" * 5000]
)


@given(
    status=st.sampled_from([200, 206, 304, 404, 416, 500]),
    headers=st.dictionaries(
        st.sampled_from(["Content-Range", "Content-Length", "ETag", "Last-Modified"]), TEXTS
    ),
    begun=st.none() | st.builds(Begun, st.integers(1, 10**12), st.just('"v"')),
)
def test_any_answer_means_something(status: int, headers: dict[str, str], begun: Begun | None) -> None:
    answer = judge(status, headers, begun)
    if isinstance(answer, Body):
        assert answer.offset in (0, begun.size if begun else 0)
        assert answer.validator is None or answer.validator.isprintable()
    if isinstance(answer, Stale):
        assert begun is not None

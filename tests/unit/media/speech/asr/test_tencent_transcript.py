"""Recognition by Tencent Cloud without its connection: what messages mean, and how fast audio may go out."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.speech.asr.base import Heard
from media.speech.asr.tencent import AHEAD, FAST, Pace, Transcript


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from([0.02, 0.04, 0.2])), max_size=60))
def test_pace_never_lets_more_out_than_is_taken(steps: list[tuple[float, float]]) -> None:
    now = 100.0
    pace = Pace(lambda: now)
    sent: list[tuple[float, float]] = []
    for idle, seconds in steps:
        now += idle
        sent.append((now, seconds))
        now += pace.wait(seconds)
    for since, _ in sent:
        window = sum(seconds for at, seconds in sent if since <= at < since + 1)
        assert window <= AHEAD + FAST + 0.2 + 1e-6


def test_audio_as_it_is_spoken_is_never_held_back() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    for _ in range(100):
        assert pace.wait(0.04) == 0
        now += 0.04


RESULT = {
    "slice_type": 2,
    "index": 3,
    "start_time": 10,
    "end_time": 20,
    "voice_text_str": "yes",
    "word_size": 0,
    "word_list": [],
}


def test_the_examples_of_the_documents() -> None:
    transcript = Transcript("tencent")
    success = {"code": 0, "message": "success", "voice_id": "v"}
    assert transcript.feed(success) == []
    begun = {"slice_type": 0, "index": 0, "start_time": 0, "end_time": 1240, "voice_text_str": "实时"}
    assert transcript.feed({**success, "message_id": "v_11_0", "result": begun}) == [
        Heard(0, "实时", 0, 1240, final=False, task="v")
    ]
    assert transcript.feed({"code": 0, "result": RESULT}) == [Heard(3, "yes", 10, 20, final=True)]
    assert transcript.feed({"code": 0, "result": {**RESULT, "voice_text_str": " "}}) == []
    assert not transcript.complete
    assert transcript.feed({**success, "final": 1}) == []
    assert transcript.complete


def test_a_time_out_of_the_vendor_may_be_tried_again() -> None:
    with pytest.raises(ProviderError, match="等待超时 .code 4008") as caught:
        Transcript("tencent").feed({"code": 4008, "message": "后台识别服务器音频分片等待超时"})
    assert (caught.value.code, caught.value.retry) == (408, True)


VALUES = st.one_of(st.none(), st.integers(-1, 5), st.sampled_from(["", "yes"]))
RESULTS = st.fixed_dictionaries({}, optional=dict.fromkeys(RESULT, VALUES))
MESSAGES = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(("code", "message", "final", "voice_id"), VALUES), "result": RESULTS}
)


@given(MESSAGES)
def test_no_message_does_more_than_raise_an_error_of_the_provider(message: dict[str, Any]) -> None:
    transcript = Transcript("tencent")
    with suppress(ProviderError):
        assert all(isinstance(one, Heard) and one.text for one in transcript.feed(message))
        assert message["code"] == 0

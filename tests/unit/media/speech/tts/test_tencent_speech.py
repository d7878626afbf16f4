"""Synthesis by Tencent Cloud without its connection: what messages mean."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.speech.tts.tencent import Speech


def test_messages_that_say_nothing_new() -> None:
    speech = Speech("tencent", "one")
    assert speech.feed(b"") == []
    assert speech.feed(b"\x01\x02") == [b"\x01\x02"]
    assert speech.feed('{"code": 0, "message": "success", "heartbeat": 1}') == []
    assert speech.feed('{"code": 0, "result": {"subtitles": null}}') == []
    assert (speech.ready, speech.complete) == (False, False)
    assert speech.feed('{"code": 0, "ready": 1}') == []
    assert speech.feed('{"code": 0, "final": 1}') == []
    assert (speech.ready, speech.complete) == (True, True)


def test_a_message_without_a_code_is_an_error() -> None:
    with pytest.raises(ProviderError, match="tencent: sent a message without a code"):
        Speech("tencent").feed('{"final": 1}')


@given(st.one_of(st.text(max_size=20), st.binary(max_size=20)))
def test_no_message_does_more_than_raise_an_error_of_the_provider(message: str | bytes) -> None:
    with suppress(ProviderError):
        assert Speech("tencent").feed(message) in ([], [message])

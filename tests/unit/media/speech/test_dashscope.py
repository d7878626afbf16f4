"""Tasks on DashScope: messages, their order, errors, addresses."""

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import ProviderError
from media.api.options import Provider
from media.speech import dashscope
from media.speech.dashscope import Finished, Result, Started, State, Task


def task() -> Task:
    return Task("asr", "recognition", "paraformer-realtime-v2", {"format": "pcm"})


def event(name: str, payload: dict[str, Any] | None = None, **header: Any) -> dict[str, Any]:
    return {"header": {"event": name, **header}, "payload": payload or {}}


def running() -> Task:
    begun = task()
    assert begun.feed(event("task-started")) == Started()
    return begun


def test_messages_of_a_task() -> None:
    begun = task()
    header = {"task_id": begun.id, "streaming": "duplex"}
    payload = {"task_group": "audio", "task": "asr", "function": "recognition", "input": {}}
    payload |= {"model": "paraformer-realtime-v2", "parameters": {"format": "pcm"}}
    assert begun.run() == {"header": {"action": "run-task", **header}, "payload": payload}
    continued = {"header": {"action": "continue-task", **header}, "payload": {"input": {"text": "hi"}}}
    assert begun.text("hi") == continued
    assert begun.finish() == {"header": {"action": "finish-task", **header}, "payload": {"input": {}}}
    assert uuid.UUID(begun.id).version == 4


def test_a_task_from_begin_to_end() -> None:
    begun = running()
    assert begun.feed(event("result-generated", {"output": {"a": 1}})) == Result({"a": 1})
    begun.finish()
    assert begun.feed(event("result-generated", {"output": None})) == Result({})
    assert begun.feed(event("task-finished")) == Finished()
    assert begun.state is State.OVER


def test_a_task_that_the_vendor_ends_early_is_finished() -> None:
    assert running().feed(event("task-finished")) == Finished()


@pytest.mark.parametrize("name", ["result-generated", "task-finished", "nonsense"])
def test_nothing_comes_before_the_start(name: str) -> None:
    with pytest.raises(ProviderError, match="asked") as caught:
        task().feed(event(name))
    assert (caught.value.code, caught.value.retry) == (502, True)


def test_a_task_starts_once() -> None:
    with pytest.raises(ProviderError, match="running"):
        running().feed(event("task-started"))


@pytest.mark.parametrize(
    "message",
    [{}, {"header": None}, {"header": 5}, {"header": {}}, {"header": {"event": {"a": "b" * 100}}}],
)
def test_what_is_no_event_is_an_error(message: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as caught:
        running().feed(message)
    assert len(str(caught.value)) < 120


values: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 5, "text", [], ["a"], {}, {"output": {}}, {"output": "text"}]
)
names = st.sampled_from(["task-started", "result-generated", "task-finished", "task-failed"]) | values
headers = (
    st.fixed_dictionaries({"event": names}, optional={"error_code": values, "error_message": values}) | values
)


@settings(deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"header": headers, "payload": values}) | st.none(), max_size=8
    )
)
def test_any_messages_give_events_or_provider_errors(messages: list[dict[str, Any] | None]) -> None:
    begun = task()
    for message in messages:
        before = begun.state
        try:
            if message is None:
                begun.finish()
            else:
                begun.feed(message)
        except ProviderError:
            assert begun.state in (before, State.OVER)
        else:
            assert list(State).index(begun.state) >= list(State).index(before)


FAILURES = [
    ("InvalidApiKey", "Invalid API-key provided.", 401, False),
    ("Model.AccessDenied", "Model access denied.", 401, False),
    ("Arrearage", "Access denied, make sure your account is in good standing.", 401, False),
    ("ModelNotFound", "Model not exist.", 404, False),
    ("InvalidParameter", "[tts:]Engine return error code: 418", 400, False),
    ("DataInspectionFailed", "Input data may contain inappropriate content.", 400, False),
    ("Throttling.RateQuota", "Requests rate limit exceeded.", 429, True),
    ("CLIENT_ERROR", "request timeout after 23 seconds.", 408, True),
    ("InvalidParameter", "request timeout after 23 seconds.", 408, True),
    ("InternalError", "An internal error has occurred.", 502, True),
    ("InternalError", "", 502, True),
]


@pytest.mark.parametrize(("code", "words", "status", "retry"), FAILURES)
def test_what_failures_mean(code: str, words: str, status: int, retry: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        running().feed(event("task-failed", error_code=code, error_message=words))
    assert (caught.value.code, caught.value.retry) == (status, retry)
    assert str(caught.value) == f"aliyun: the task failed: {code}" + (f" ({words})" if words else "")


def test_long_words_of_a_failure_are_cut() -> None:
    assert len(str(dashscope.failure("InternalError", "x\n" * 1000))) < 300


def test_audio_without_speech_ends_a_task_as_well() -> None:
    silent = event("task-failed", error_code="NO_VALID_AUDIO_ERROR", error_message="no valid audio")
    with pytest.raises(ProviderError, match="NO_VALID_AUDIO"):
        running().feed(silent)
    begun = running()
    begun.finish()
    assert begun.feed(silent) == Finished()


PATH = "/api-ws/v1/inference"
ADDRESSES = [
    ({}, f"wss://dashscope.aliyuncs.com{PATH}"),
    ({"region": "ap-southeast-1"}, f"wss://dashscope-intl.aliyuncs.com{PATH}"),
    ({"endpoint": "http://127.0.0.1:80"}, f"ws://127.0.0.1:80{PATH}"),
    ({"endpoint": "https://example.com/"}, f"wss://example.com{PATH}"),
    ({"endpoint": "wss://example.com/other/path?a=b"}, "wss://example.com/other/path?a=b"),
    ({"endpoint": "ws://example.com", "region": "mine"}, f"ws://example.com{PATH}"),
]


@pytest.mark.parametrize(("keys", "url"), ADDRESSES)
def test_addresses(keys: dict[str, Any], url: str) -> None:
    option = Provider(secret_key="k", **keys)
    dashscope.check(option)
    assert dashscope.address(option) == url


@pytest.mark.parametrize("endpoint", ["example.com", "ftp://example.com", "http://", "http://[x"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ProviderError, match="endpoint") as caught:
        dashscope.check(Provider(secret_key="k", endpoint=endpoint))
    assert (caught.value.code, caught.value.retry) == (400, False)


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(ProviderError, match="cn-beijing, ap-southeast-1") as caught:
        dashscope.check(Provider(secret_key="k", region="mars"))
    assert (caught.value.code, caught.value.retry) == (400, False)


def test_a_missing_key_is_refused() -> None:
    with pytest.raises(ProviderError, match=r"secretKey.*DASHSCOPE_API_KEY") as caught:
        dashscope.check(Provider())
    assert (caught.value.code, caught.value.retry) == (401, False)


def test_headers() -> None:
    expected = {"Authorization": "Bearer k", "X-DashScope-DataInspection": "enable"}
    assert dashscope.headers(Provider(secret_key="k")) == expected
    workspace = expected | {"X-DashScope-WorkSpace": "w"}
    assert dashscope.headers(Provider(secret_key="k", app_id="w")) == workspace


@pytest.mark.parametrize(
    ("language", "hint"),
    [(None, None), ("auto", None), ("zh", "zh"), ("en-US", "en"), ("zh_CN", "zh"), ("JA", "ja")],
)
def test_languages(language: str | None, hint: str | None) -> None:
    assert dashscope.hints(Provider(language=language)) == ({"language_hints": [hint]} if hint else {})

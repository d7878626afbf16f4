"""Key, address, parameters and errors of Deepgram."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from control.errors import ProviderError
from media.api.options import Provider
from media.speech import deepgram_api as api

KEYED = Provider(secret_key="k")


def test_without_a_key_it_says_where_one_goes() -> None:
    with pytest.raises(
        ProviderError, match=r"secretKey .* \[providers.deepgram\] .* DEEPGRAM_API_KEY"
    ) as caught:
        api.check(Provider(), "nova-3", ())
    assert (caught.value.code, caught.value.retry) == (401, False)


def test_models_of_the_other_protocol_are_refused() -> None:
    with pytest.raises(ProviderError, match="flux-general-en") as caught:
        api.check(KEYED, "flux-general-en", ())
    assert (caught.value.code, caught.value.retry) == (501, False)


def test_extra_cannot_change_the_form_of_the_audio() -> None:
    option = Provider(secret_key="k", extra={"encoding": "opus", "tag": "a", "channels": 2})
    with pytest.raises(ProviderError, match="channels, encoding") as caught:
        api.check(option, "nova-3", ("encoding", "channels"))
    assert (caught.value.code, caught.value.retry) == (400, False)
    api.check(option, "nova-3", ("callback",))


def test_the_key_goes_into_the_header() -> None:
    assert api.headers(KEYED) == {"Authorization": "Token k"}


@pytest.mark.parametrize(
    ("endpoint", "scheme", "url"),
    [
        (None, "ws", "wss://api.deepgram.com/v1/listen"),
        (None, "http", "https://api.deepgram.com/v1/listen"),
        ("wss://api.eu.deepgram.com", "http", "https://api.eu.deepgram.com/v1/listen"),
        ("http://127.0.0.1:8080/", "ws", "ws://127.0.0.1:8080/v1/listen"),
        ("ws://[::1]:8080", "http", "http://[::1]:8080/v1/listen"),
        ("https://proxy.example/deepgram/listen?team=a", "ws", "wss://proxy.example/deepgram/listen?team=a"),
    ],
)
def test_the_address_follows_the_endpoint(endpoint: str | None, scheme: str, url: str) -> None:
    assert api.address(Provider(endpoint=endpoint), scheme, "/v1/listen", {}) == url


@pytest.mark.parametrize(
    "endpoint", ["ftp://example.com", "deepgram", "https://", "http://[::1", "//example.com"]
)
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ProviderError, match="endpoint must be") as caught:
        api.address(Provider(endpoint=endpoint), "ws", "/", {})
    assert (caught.value.code, caught.value.retry) == (400, False)


def test_parameters_are_written_as_deepgram_reads_them() -> None:
    query = {"b": True, "n": 300, "f": 0.9, "t": "a & b", "none": None, "l": ["one", "two:2", None, False]}
    url = api.address(Provider(endpoint="https://h/p?x=1"), "http", "/v1/speak", query)
    pairs = [("x", "1"), ("b", "true"), ("n", "300"), ("f", "0.9"), ("t", "a & b")]
    assert parse_qsl(urlsplit(url).query) == [*pairs, ("l", "one"), ("l", "two:2"), ("l", "false")]


def test_an_object_is_no_parameter() -> None:
    with pytest.raises(ProviderError, match="hint in extra") as caught:
        api.address(Provider(), "ws", "/", {"hint": {"a": 1}})
    assert (caught.value.code, caught.value.retry) == (400, False)


@pytest.mark.parametrize(
    ("message", "words", "code", "retry"),
    [
        ({"variant": "SchemaError", "description": "no such type"}, "SchemaError: no such type", 400, False),
        ({"err_code": "X", "err_msg": "broken"}, "X: broken", 502, True),
        ({}, "no reason given", 502, True),
        ({"description": "x" * 999}, "x" * 200, 502, True),
    ],
)
def test_errors_are_told_in_the_words_of_deepgram(
    message: dict[str, Any], words: str, code: int, retry: bool
) -> None:
    error = api.refusal(message)
    assert str(error) == f"deepgram: it reports an error: {words}"
    assert (error.code, error.retry) == (code, retry)

import pytest

from control.errors import ProviderError
from media.api.options import Provider
from media.speech import openai_access as access


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (None, "https://api.openai.com/v1/audio/speech"),
        ("http://localhost:8000", "http://localhost:8000/v1/audio/speech"),
        ("http://localhost:8000/", "http://localhost:8000/v1/audio/speech"),
        ("ws://localhost:8000/v1/", "http://localhost:8000/v1/audio/speech"),
        ("wss://speech.example/openai/v1", "https://speech.example/openai/v1/audio/speech"),
        ("https://speech.example/v1/audio/speech", "https://speech.example/v1/audio/speech"),
        ("https://speech.example?version=2", "https://speech.example/v1/audio/speech?version=2"),
        ("https://speech.example/a%20b", "https://speech.example/a%20b/audio/speech"),
    ],
)
def test_our_path_is_below_the_endpoint(endpoint: str | None, address: str) -> None:
    assert str(access.address(Provider(endpoint=endpoint), "audio/speech")) == address


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (None, "wss://api.openai.com/v1/realtime"),
        ("http://localhost:8000", "ws://localhost:8000/v1/realtime"),
        ("wss://speech.example/v1/realtime?a=b", "wss://speech.example/v1/realtime?a=b"),
    ],
)
def test_sockets_have_their_scheme(endpoint: str | None, address: str) -> None:
    assert str(access.address(Provider(endpoint=endpoint), "realtime", socket=True)) == address


@pytest.mark.parametrize(
    "endpoint", ["ftp://speech.example", "speech.example", "https://", "http://[1", "http://a:b"]
)
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ProviderError, match="endpoint") as caught:
        access.check(Provider(endpoint=endpoint, secret_key="x"))
    assert (caught.value.code, caught.value.retry) == (400, False)


def test_only_the_vendor_always_wants_a_key() -> None:
    access.check(Provider(endpoint="http://localhost:8000"))
    access.check(Provider(secret_key="x"))
    with pytest.raises(ProviderError, match="secret_key"):
        access.check(Provider())
    assert access.headers(Provider()) == {}
    assert access.headers(Provider(secret_key="x")) == {"Authorization": "Bearer x"}


def test_the_key_is_not_shown() -> None:
    with pytest.raises(ProviderError) as caught, access.discreet(Provider(secret_key="geheim")):
        raise ProviderError("openai: wrong key: geheim", 401, retry=False)
    assert str(caught.value) == "openai: wrong key: (the key)"
    assert (caught.value.code, caught.value.retry) == (401, False)
    with pytest.raises(ProviderError, match="other"), access.discreet(Provider(secret_key="geheim")):
        raise ProviderError("other")


def test_a_long_message_is_cut() -> None:
    assert len(str(access.refusal({"message": "long " * 200}))) < 220

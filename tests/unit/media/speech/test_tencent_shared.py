"""What Tencent's services share: signatures as published, addresses, scales, refusals, subtitles."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech.tencent import (
    BASIC,
    ONE_SHOT,
    Subtitles,
    recognition,
    refusal,
    sign,
    signed_url,
    tuning,
)
from media.speech.tts.base import Mark


@pytest.mark.parametrize(
    ("masked", "signature"),
    [("*******", "zmmjn35mikh6pM3V7sUEuX4wyYM="), ("EXAMPLE", "EliP9YW3pW28FpsEdkXt/+WcGeI=")],
)
def test_signatures_are_those_that_tencent_publishes(masked: str, signature: str) -> None:
    # cloud.tencent.com/document/api/213/30654, the example of signature v1, as it was and as it is.
    text = (
        "GETcvm.tencentcloudapi.com/?Action=DescribeInstances&InstanceIds.0=ins-09dx96dg&Limit=20&Nonce=11886"
        f"&Offset=0&Region=ap-guangzhou&SecretId=AKIDz8krbsJ5yKBZQpn74WFkmLPx3{masked}&Timestamp=1465185768"
        "&Version=2017-03-12"
    )
    assert sign(f"Gu5t9xGARNpq86cd98joQYCN3{masked}", text) == signature


def test_the_signature_is_that_of_the_package_of_the_vendor() -> None:
    module = pytest.importorskip("tencentcloud.common.sign", reason="needs tencentcloud-sdk-python-common")
    assert sign("key", "GETtext 你好") == module.Sign.sign("key", "GETtext 你好", "HmacSHA1")


def test_values_are_signed_plain_and_sent_encoded() -> None:
    option = SynthesisOption(secret_key="k", extra={"Text": "a b+你", "Speed": 1.0})
    url = signed_url("tencent", ONE_SHOT, option, {"Zed": True, "Action": "x"})
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.path) == ("wss", "tts.cloud.tencent.com", "/stream_ws")
    assert parts.query.startswith("Action=x&Speed=1&Text=a%20b%2B%E4%BD%A0&Zed=true&Signature=")
    plain = "GETtts.cloud.tencent.com/stream_ws?Action=x&Speed=1&Text=a b+你&Zed=true"
    assert parse_qs(parts.query)["Signature"] == [sign("k", plain)]


@pytest.mark.parametrize(
    ("endpoint", "base", "signed"),
    [
        (None, "https://tts.tencentcloudapi.com/", "tts.tencentcloudapi.com/"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/", "tts.tencentcloudapi.com/"),
        ("wss://proxy.example/tts/", "https://proxy.example/tts/", "tts.tencentcloudapi.com/"),
        ("proxy.example", "https://proxy.example/", "tts.tencentcloudapi.com/"),
        ("https://tts.intl.tencentcloudapi.com", "https://tts.intl.tencentcloudapi.com/", None),
    ],
)
def test_the_name_that_is_signed_is_always_one_of_tencent(
    endpoint: str | None, base: str, signed: str | None
) -> None:
    option = SynthesisOption(endpoint=endpoint, secret_key="k")
    address, query = signed_url("tencent_basic", BASIC, option, {"a": 1}).split("?")
    assert address == base
    name = signed or base.removeprefix("https://")
    assert parse_qs(query)["Signature"] == [sign("k", f"GET{name}?a=1")]


def test_the_account_is_part_of_the_path_of_recognition() -> None:
    url = signed_url("tencent", recognition("12"), SynthesisOption(secret_key="k"), {"a": 1})
    assert url.startswith("wss://asr.cloud.tencent.com/asr/v2/12?a=1&signature=")
    assert parse_qs(urlsplit(url).query)["signature"] == [sign("k", "asr.cloud.tencent.com/asr/v2/12?a=1")]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, {}),
        ({"volume": 5.0, "speed": 1.0}, {"Volume": 0.0, "Speed": 0.0}),
        ({"volume": 0.0, "speed": 0.6}, {"Volume": -10.0, "Speed": -2.0}),
        ({"volume": 10.0, "speed": 2.5}, {"Volume": 10.0, "Speed": 6.0}),
        ({"volume": 100.0, "speed": 9.0}, {"Volume": 10.0, "Speed": 6.0}),
        ({"speed": -1.0}, {"Speed": -2.0}),
        (
            {"volume": 7.25, "speed": 2.0, "emotion": "sad"},
            {"Volume": 4.5, "Speed": 4.0, "EmotionCategory": "sad"},
        ),
        ({"speed": 1.1}, {"Speed": 0.5}),
    ],
)
def test_neutral_is_neutral_and_ends_are_ends(fields: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert tuning(SynthesisOption(**fields)) == wanted


@pytest.mark.parametrize(
    ("code", "ours", "retry"),
    [
        (4000, 429, True),
        (4002, 401, False),
        (4005, 403, False),
        (4006, 429, True),
        (4009, 502, True),
        (5001, 502, True),
        (10002, 429, True),
        (10007, 413, False),
        (20003, 502, True),
        ("AuthFailure.SignatureExpire", 401, False),
        ("UnsupportedOperation.AuthorizationFailed", 401, False),
        ("UnsupportedOperation.TextTooLong", 413, False),
        ("UnsupportedOperation.PkgExhausted", 403, False),
        ("InvalidParameterValue.VoiceType", 400, False),
        ("RequestLimitExceeded", 429, True),
        ("InternalError.NoResource", 502, True),
    ],
)
def test_refusals_keep_their_meaning(code: int | str, ours: int, retry: bool) -> None:
    error = refusal("tencent", code, " it\nsays  so ")
    assert isinstance(error, ProviderError)
    assert str(error).startswith(f"tencent: it says so (code {code})")
    assert (error.code, error.retry) == (ours, retry)


def test_a_refusal_without_words() -> None:
    assert str(refusal("tencent", 5000, "")) == "tencent: it failed (code 5000)"


def subtitle(text: str, start: int, index: object) -> dict[str, object]:
    return {"Text": text, "BeginTime": start, "EndTime": start + 10, "BeginIndex": index, "EndIndex": 0}


def test_a_subtitle_is_found_by_its_index() -> None:
    found = Subtitles("no no no").marks([subtitle("no", 0, 0), subtitle("no", 50, 6)])
    assert found == [Mark(0, 2, 0, 10), Mark(6, 2, 50, 60)]


def test_a_subtitle_whose_index_is_wrong_is_searched_for_behind_the_last() -> None:
    subtitles = Subtitles("👍👍 no ")
    assert subtitles.marks([subtitle("no", 0, 5)]) == [Mark(3, 2, 0, 10)]
    subtitles.add("no")
    assert subtitles.marks([subtitle("no", 20, None)]) == [Mark(6, 2, 20, 30)]
    assert subtitles.marks([subtitle("no", 30, 0)]) == []


def test_what_is_spoken_otherwise_than_written_has_no_mark() -> None:
    found = Subtitles("It is 5 pm").marks([subtitle("five", 0, 6), subtitle("pm", 20, 8)], shift=100, at=7)
    assert found == [Mark(15, 2, 120, 130)]


@pytest.mark.parametrize(
    "odd", [None, {}, "x", [None, 3, {"Text": ""}, {"Text": "a", "BeginTime": "1", "EndTime": 2}]]
)
def test_odd_subtitles_are_none(odd: object) -> None:
    assert Subtitles("a").marks(odd) == []


@given(st.text(max_size=30), st.lists(st.tuples(st.text(max_size=3), st.integers(-5, 40)), max_size=8))
def test_marks_are_about_the_text_they_name_and_in_order(text: str, asked: list[tuple[str, int]]) -> None:
    names = iter(asked)
    marks = Subtitles(text).marks([subtitle(word, 0, index) for word, index in names])
    assert all(text[mark.at : mark.at + mark.length] in {word for word, _ in asked} for mark in marks)
    assert all(one.at + one.length <= two.at for one, two in zip(marks, marks[1:], strict=False))

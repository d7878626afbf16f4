import json

import pytest

from media.api.commands import parse
from media.api.masking import MASK, masked, masked_values, may_hold_secrets
from media.api.options import SynthesisOption

INVITE = {
    "command": "invite",
    "option": {
        "caller": "sip:alice@example.com",
        "asr": {"provider": "x", "secretId": "hush", "secretKey": "hush", "appId": "hush"},
        "tts": {
            "endpoint": "wss://user:hush@tts.example.com/v1",
            "extra": {"api_key": "hush", "list": ["a"]},
        },
        "eou": {"secretKey": "hush"},
        "sip": {"username": "u", "password": "hush", "headers": {"X-Auth-Token": "hush", "X-Plain": "seen"}},
        "extra": {"nested": {"Password": "hush"}, "callToken": "hush", "n": 1},
    },
}


def test_no_secret_is_shown() -> None:
    shown = masked(parse(json.dumps(INVITE)))
    assert "hush" not in json.dumps(shown)
    option = shown["option"]
    assert option["asr"] == {"provider": "x", "secretId": MASK, "secretKey": MASK, "appId": MASK}
    assert option["sip"]["headers"] == {"X-Auth-Token": MASK, "X-Plain": "seen"}
    assert option["extra"] == {"nested": {"Password": MASK}, "callToken": MASK, "n": 1}
    assert option["tts"]["endpoint"] == f"wss://{MASK}@tts.example.com/v1"
    assert option["tts"]["extra"]["list"] == ["a"]


def test_what_is_no_secret_stays_as_it_was_sent() -> None:
    tts = {"command": "tts", "text": "mail me@example.com", "playId": "p", "waitInputTimeout": 5000.0}
    assert masked(parse(json.dumps(tts))) == tts


def test_options_are_masked_too() -> None:
    assert masked(SynthesisOption(speaker="en-us", secret_key="hush")) == {
        "speaker": "en-us",
        "secretKey": MASK,
    }


def test_a_command_made_in_code_shows_its_name() -> None:
    assert masked(parse('{"command":"pause"}')) == {"command": "pause"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sip:alice:hush@192.0.2.1", f"sip:alice:{MASK}@192.0.2.1"),
        ('"A" <SIPS:alice:hu:sh@example.com;x=y>', f'"A" <SIPS:alice:{MASK}@example.com;x=y>'),
        ("sip:alice@192.0.2.1:5060", "sip:alice@192.0.2.1:5060"),
        ("https://a.example/x.wav?token=hush&n=1", f"https://a.example/x.wav?token={MASK}&n=1"),
        (
            "https://a.example/x?n=1&X-Amz-Signature=hush#f",
            f"https://a.example/x?n=1&X-Amz-Signature={MASK}#f",
        ),
        (
            "a=crypto:1 AES inline:hush|2^20\r\na=ice-pwd:hush\r\n",
            f"a=crypto:1 AES inline:{MASK}|2^20\r\na=ice-pwd:{MASK}\r\n",
        ),
        ("what? my token=1", "what? my token=1"),
    ],
)
def test_addresses_are_shown_without_their_secrets(text: str, shown: str) -> None:
    assert masked_values({"url": text, "list": [text]}) == {"url": shown, "list": [shown]}
    if text != shown:
        assert may_hold_secrets(json.dumps({"url": text}))


def test_most_texts_can_be_told_to_hold_no_secret() -> None:
    assert not may_hold_secrets('{"event":"asrFinal","text":"hello there"}')
    assert may_hold_secrets('{"extra":{"API_Key":"hush"}}')


@pytest.mark.parametrize(
    "text", ["@" + "sip::" * 200_000, "@" + "//" * 500_000, "://" + "?" * 1_000_000, "://?a" + "&=" * 500_000]
)
def test_a_text_made_to_be_slow_is_not(text: str) -> None:
    assert masked_values({"text": text}) == {"text": text}

import json

import pytest

from control.errors import CommandError
from media.api import commands
from media.api.options import CallOption, SipOption, SynthesisOption, VadOption, overlay
from media.commands.accept import Accept


def test_only_given_keys_are_laid_over() -> None:
    base = SynthesisOption(speaker="en-us", volume=8.0, speed=1.5)
    over = SynthesisOption(speaker="de")
    merged = overlay(base, over)
    assert merged == SynthesisOption(speaker="de", volume=8.0, speed=1.5)
    assert merged is not None
    assert merged.model_fields_set == {"speaker", "volume", "speed"}


def test_a_given_default_counts_as_given() -> None:
    merged = overlay(SynthesisOption(volume=8.0), SynthesisOption(volume=5.0))
    assert merged is not None
    assert merged.volume == 5.0


@pytest.mark.parametrize("option", [SynthesisOption(speaker="en-us"), None])
def test_nothing_over_or_under_an_option_is_the_option(option: SynthesisOption | None) -> None:
    assert overlay(option, None) is option
    assert overlay(None, option) is option


def test_nested_options_are_merged_and_maps_replaced() -> None:
    base = CallOption(vad=VadOption(aggressiveness=3), denoise=True, sip=SipOption(headers={"X-A": "1"}))
    over = CallOption(
        vad=VadOption(silence_timeout=500),
        sip=SipOption(headers={"X-B": "2"}),
        tts=SynthesisOption(speaker="de"),
    )
    merged = overlay(base, over)
    assert merged == CallOption(
        vad=VadOption(aggressiveness=3, silence_timeout=500),
        denoise=True,
        sip=SipOption(headers={"X-B": "2"}),
        tts=SynthesisOption(speaker="de"),
    )
    assert base.vad == VadOption(aggressiveness=3)


def test_no_repr_shows_secrets() -> None:
    option = CallOption(
        tts=SynthesisOption(secret_key="hush", secret_id="hush", app_id="hush", extra={"token": "hush"}),
        sip=SipOption(username="u", password="hush", headers={"X-Token": "hush"}),
    )
    assert "hush" not in repr(option)
    assert "username='u'" in repr(option)


@pytest.mark.parametrize(
    "grammar", ["digits", ["yes", "no"], "#JSGF V1.0; grammar a; public <a> = yes | no;", None]
)
def test_a_grammar_is_a_name_phrases_or_jsgf(grammar: object) -> None:
    command = commands.parse(json.dumps({"command": "accept", "option": {"asr": {"grammar": grammar}}}))
    assert isinstance(command, Accept)
    option = command.option
    assert option is not None
    assert option.asr is not None
    assert option.asr.grammar == grammar


@pytest.mark.parametrize(
    ("grammar", "fault"),
    [
        (7, "must be text or a list of texts, got a number"),
        (["yes", 7], "must be text or a list of texts, got a list with a number"),
        (["yes", None], "must be text or a list of texts, got a list with null"),
        ({"a": "b"}, "must be text or a list of texts, got an object"),
        ("", "must have 1 to 65536 characters"),
        ([], "must have 1 to 65536 characters"),
        (["a" * 1025], "must have phrases of at most 1024 characters"),
        ("a" * 65_537, "must have 1 to 65536 characters"),
    ],
)
def test_what_is_no_grammar(grammar: object, fault: str) -> None:
    with pytest.raises(CommandError, match=f'"option.asr.grammar" {fault}$'):
        commands.parse(json.dumps({"command": "accept", "option": {"asr": {"grammar": grammar}}}))

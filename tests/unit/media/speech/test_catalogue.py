import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from control.config import Settings
from control.errors import ProviderError
from media.api.options import SynthesisOption, TranscriptionOption
from media.speech import catalogue as module
from media.speech import listing
from media.speech.catalogue import Catalogue, Entry, Kind
from media.speech.provider import About, Need

ABOUT = About("a test", needs=(Need("secret_key", "TEST_KEY"),), reads=(Need("region", "TEST_REGION"),))


def catalogue(environ: dict[str, str] | None = None, **providers: Any) -> Catalogue:
    made = Catalogue(Settings.model_validate({"providers": providers}), environ or {})
    made.entries = {
        (kind, name): Entry(kind, name, ABOUT, None) for kind in Kind for name in ("one", "pocketsphinx")
    }
    return made


def test_all_entry_points_can_be_loaded() -> None:
    entries = Catalogue(Settings(), {}).entries.values()
    assert [entry.reason for entry in entries if entry.made_by is None] == []
    for entry in entries:
        assert entry.made_by is not None
        assert entry.made_by.name == entry.name
        assert entry.about.summary


def test_the_option_goes_above_the_settings_above_the_environment() -> None:
    made = catalogue(
        {"TEST_KEY": "env", "TEST_REGION": "env"},
        one={"secret_key": "file", "model": "m", "tts": {"speaker": "mia", "model": "special"}},
    )
    option = SynthesisOption(provider="one", volume=7)
    found = made.complete(Kind.TTS, option).option
    assert (found.secret_key, found.region, found.model, found.speaker, found.volume) == (
        "file",
        "env",
        "special",
        "mia",
        7,
    )
    heard = made.complete(Kind.ASR, TranscriptionOption(provider="one", secret_key="bot")).option
    assert (heard.secret_key, heard.model) == ("bot", "m")


@pytest.mark.parametrize("where", ["settings", "environment"])
def test_our_keys_never_go_to_an_address_that_a_bot_names(where: str) -> None:
    given = {"one": {"secret_key": "ours", "model": "m"}} if where == "settings" else {}
    made = catalogue({"TEST_KEY": "ours"} if where == "environment" else {}, **given)
    asked = made.complete(Kind.ASR, TranscriptionOption(provider="one", endpoint="wss://evil.example"))
    assert asked.option.secret_key is None
    assert not asked.trusted
    assert "ours" not in repr(asked)


def test_the_operators_address_is_trusted() -> None:
    made = catalogue(one={"secret_key": "ours", "endpoint": "http://10.0.0.1"})
    for option in (
        TranscriptionOption(provider="one"),
        TranscriptionOption(provider="one", endpoint="http://10.0.0.1"),
    ):
        asked = made.complete(Kind.ASR, option)
        assert (asked.trusted, asked.option.secret_key) == (True, "ours")


def test_an_address_means_nothing_to_what_runs_here() -> None:
    made = Catalogue(Settings(), {})
    option = SynthesisOption(provider="espeak", endpoint="https://bot.example.com")
    assert made.complete(Kind.TTS, option).trusted


def test_who_names_none_gets_the_default() -> None:
    assert catalogue().complete(Kind.ASR, TranscriptionOption()).name == "pocketsphinx"


@pytest.mark.parametrize("kind", Kind)
def test_an_unknown_provider(kind: Kind) -> None:
    with pytest.raises(ProviderError, match="there are one, pocketsphinx") as caught:
        catalogue().entry(kind, "two")
    assert (caught.value.code, caught.value.retry) == (501, False)


def test_what_others_break_costs_nobody_else_anything() -> None:
    entry = module._entry(Kind.ASR, EntryPoint("odd", "no.such.module:Odd", "sidecall.asr"))
    assert entry.made_by is None
    assert "no.such" in (entry.reason or "") or "No module" in (entry.reason or "")
    made = catalogue()
    made.entries[Kind.ASR, "odd"] = entry
    with pytest.raises(ProviderError, match="cannot be loaded"):
        made.entry(Kind.ASR, "odd")


def test_a_package_that_is_missing() -> None:
    lacks = module._lacks(About("x", package="no_such_package", extra="sherpa"))
    assert lacks is not None
    assert "sidecall[sherpa]" in lacks
    assert module._lacks(About("x", package="json")) is None


def test_the_list_for_people_and_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = catalogue()
    made.entries[Kind.TTS, "gone"] = Entry(Kind.TTS, "gone", ABOUT, None, "it is not installed")
    text = "\n".join(listing.lines(made))
    assert "set secret_key in [providers.one], or TEST_KEY" in text
    assert "it is not installed" in text
    states = {(each["kind"], each["name"]): each["state"] for each in listing.objects(made)}
    assert states[("tts", "gone")] == "missing"
    assert states[("asr", "one")] == "needs key"
    assert {"needs": {"secret_key": "TEST_KEY"}, "reads": {"region": "TEST_REGION"}}.items() <= next(
        iter(listing.objects(made))
    ).items()
    config = tmp_path / "sidecall.toml"
    config.write_text('[providers.openai]\nsecret_key = "hush"\n')
    assert listing.main(["-c", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "espeak" in shown
    assert "hush" not in shown
    assert listing.main(["-c", str(config), "--json"]) == 0
    assert "openai" in {each["name"] for each in json.loads(capsys.readouterr().out)}


KEYLESS = About("a test", reads=(Need("secret_key", "TEST_KEY"),))


@pytest.mark.parametrize(
    ("environ", "settings", "state"),
    [
        ({}, {}, "needs key"),
        ({"TEST_KEY": "k"}, {}, "ready"),
        ({}, {"secret_key": "k"}, "ready"),
        ({}, {"endpoint": "http://localhost:8000"}, "ready"),
    ],
)
def test_a_key_that_only_the_vendor_wants(
    environ: dict[str, str], settings: dict[str, str], state: str
) -> None:
    made = catalogue(environ, one=settings)
    made.entries = {(Kind.ASR, "one"): Entry(Kind.ASR, "one", KEYLESS, None)}
    (found,) = listing.objects(made)
    assert (found["state"], found["missing"]) == (state, ["secret_key"] if state == "needs key" else [])
    advice = "set secret_key in [providers.one], or TEST_KEY, unless its endpoint takes none"
    assert (advice in "\n".join(listing.lines(made))) is (state == "needs key")

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api import models
from media.api import events
from media.speech.catalogue import names
from media.speechtimes import NAME, SECONDS, SpeechTimes
from tests.support.sessions import house

KNOWN = {"asr": frozenset({"ears"}), "tts": frozenset({"mouth"})}


def metrics(key: str, duration: int = 250) -> events.Metrics:
    return events.Metrics(timestamp=1, key=key, duration=duration, data={})


def samples(times: SpeechTimes, end: str) -> dict[tuple[str, str, str], float]:
    """Values of the samples whose name ends so, by kind, what and provider."""
    (family,) = times.collect()
    return {
        (labels["kind"], labels["what"], labels["provider"]): value
        for name, labels, value, *_ in family.samples
        if name == NAME + end and labels.get("le", "+Inf") == "+Inf"
    }


def test_each_is_counted_by_kind_and_provider() -> None:
    times = SpeechTimes(KNOWN.__getitem__)
    for key, duration in (("ttfb.asr.ears", 100), ("ttfb.asr.ears", 400), ("completed.tts.mouth", 2000)):
        times.told(metrics(key, duration))
    assert samples(times, "_bucket") == {("asr", "ttfb", "ears"): 2, ("tts", "completed", "mouth"): 1}
    assert samples(times, "_sum") == {("asr", "ttfb", "ears"): 0.5, ("tts", "completed", "mouth"): 2.0}


def test_classes_go_up_to_the_longest() -> None:
    times = SpeechTimes(KNOWN.__getitem__)
    for bound in SECONDS:
        times.told(metrics("ttfb.tts.mouth", round(bound * 1000)))
    (family,) = times.collect()
    counts = [value for name, _, value, *_ in family.samples if name.endswith("_bucket")]
    assert counts == [*range(1, len(SECONDS) + 1), len(SECONDS)]


@pytest.mark.parametrize(
    "key", ["completed.call.setup", "ttfb", "ttfb.asr", "other.asr.ears", "", "ttfb.asr."]
)
def test_what_is_not_about_a_provider(key: str) -> None:
    times = SpeechTimes(KNOWN.__getitem__)
    times.told(metrics(key))
    assert set(samples(times, "_bucket")) <= {("asr", "ttfb", "other")}


@given(st.lists(st.text(max_size=5)))
def test_no_name_makes_a_series_of_its_own(providers: list[str]) -> None:
    times = SpeechTimes(KNOWN.__getitem__)
    for name in providers:
        times.told(metrics(f"ttfb.asr.{name}"))
    counts = samples(times, "_bucket")
    assert {name for _, _, name in counts} <= {"ears", "other"}
    assert sum(counts.values()) == len(providers)


def test_the_names_are_those_of_the_entry_points() -> None:
    assert "espeak" in names("tts")
    assert "openai" in names("asr")


async def test_what_bots_are_told_is_counted_once(tmp_path: Path) -> None:
    async with house(tmp_path) as place:
        guest = place.guest()
        await guest.be_offered()
        await guest.do("accept", option={"asr": {"provider": "fake"}})
        guest.tell(models.Answered, stream=place.stream(), sdp="v=0")
        work = place.tts.heard[-1]
        work.say("hello", final=False)
        work.say("hello")
        await guest.do("tts", text="Good morning.")
        await guest.hear("trackEnd")
        told = [event for event in guest.box.metrics if event["key"].split(".")[1] in KNOWN]
        counted = samples(place.services.speech_times, "_bucket")
    assert sorted(event["key"] for event in told) == sorted(
        f"{what}.{kind}.{provider}" for kind, what, provider in counted
    )
    assert set(counted.values()) == {1}
    assert len(counted) == 4

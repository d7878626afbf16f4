"""Listening in through the engine: what readers get, in step, of both bands; recordings; noise; the end."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.arrays import Pcm
from media.engine.halfband import DELAY
from media.engine.stream import FORMATS, Codec
from media.engine.taps import STEREO, Reader, Side
from media.engine.tones import MILLIWATT
from tests.support import callbench, speech
from tests.support.callbench import Bench, Call, encode, likeness
from tests.support.voicelike import voice

BANDS = [Codec.PCMA, Codec.G722]
BURST = 10
"""Ticks."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    with callbench.bench() as made:
        yield made


@dataclass
class Ear:
    """A sink that keeps copies of what it gets."""

    pcm: list[Pcm] = field(default_factory=list)
    lost: int = 0

    def __call__(self, pcm: Pcm, lost: int) -> None:
        self.pcm.append(pcm.copy())
        self.lost += lost

    @property
    def all(self) -> Pcm:
        return np.concatenate(self.pcm) if self.pcm else np.zeros(0, np.int16)


def listen(call: Call, *sides: Side, every: int = 5, rate: int = 8000) -> tuple[Ear, Reader]:
    ear = Ear()
    return ear, call.engine.subscribe(call.slot, sides, every=every, rate=rate, sink=ear)


def burst(rate: int, ticks: int = BURST, frequency: int = 440) -> Pcm:
    time = np.arange(ticks * rate // 50) / rate
    return np.asarray(np.rint(MILLIWATT / 2 * np.sin(2 * np.pi * frequency * time)), np.int16)


def onset(pcm: Pcm) -> int:
    """The first loud sample."""
    return int(np.argmax(np.abs(pcm) > 1000))


def converse(bench: Bench, call: Call, caller: Pcm, bot: Pcm, ticks: int) -> None:
    """The caller says `caller`, one packet in each tick, while the bot plays `bot`."""
    rate = FORMATS[call.codec].rate
    call.play(bot, rate)
    for payload in encode(call.codec, caller)[:ticks]:
        call.say(payload)
        bench.ticks()


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, Codec.PCMU16, Codec.G722, Codec.OPUS])
def test_the_caller_as_soon_as_possible(bench: Bench, codec: Codec, rate: int) -> None:
    call = bench.call(codec)
    ear, reader = listen(call, Side.HEARD, rate=rate)
    bench.talk(call, encode(codec, voice(FORMATS[codec].rate, 1.5)))
    bench.engine.unsubscribe(reader)
    assert likeness(ear.all, voice(rate, 1.5)) > 0.95
    assert ear.lost == 0
    late = 0 if rate == FORMATS[codec].rate else 64 * rate // 16000
    assert len(ear.all) == 1.5 * rate + late
    if not late:
        assert (ear.all == call.sound).all()


def test_without_a_pause_in_which_nothing_came(bench: Bench) -> None:
    call = bench.call()
    heard, one = listen(call, Side.HEARD)
    even, other = listen(call, Side.EVEN)
    payloads = encode(Codec.PCMU, voice(8000, 1))
    for part in (payloads[:25], payloads[25:]):
        bench.talk(call, part)
        bench.ticks(18)
    for reader in (one, other):
        bench.engine.unsubscribe(reader)
    assert len(heard.all) == 8000
    assert len(even.all) == 90 * 160
    assert likeness(heard.all, voice(8000, 1)) > 0.98


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("codec", BANDS)
def test_both_sides_stand_where_they_were(bench: Bench, codec: Codec, rate: int) -> None:
    """Bursts of the caller and the bot at known ticks are as far apart in the recording."""
    call, source = bench.call(codec), FORMATS[codec].rate
    ear, reader = listen(call, *STEREO, every=10, rate=rate)
    frame, sound = source // 50, burst(source)
    caller, bot = np.zeros(100 * frame, np.int16), np.zeros(100 * frame, np.int16)
    for tick in (10, 50, 80):
        caller[tick * frame : (tick + BURST) * frame] = sound
    for tick in (30, 50, 70):
        bot[tick * frame : (tick + BURST) * frame] = sound
    converse(bench, call, caller, bot, 100)
    bench.engine.unsubscribe(reader)
    left, right = ear.all[:, 0], ear.all[:, 1]
    unit, late = rate // 50, 0 if rate == source else DELAY[source] * rate // source
    coded = 22 * rate // 16000 if codec is Codec.G722 else 0
    smoothed = unit  # the even flow is one frame late on a clean line
    for tick in (30, 50, 70):
        assert onset(right[(tick - 5) * unit :]) + (tick - 5) * unit == pytest.approx(
            tick * unit + late, abs=9
        )
    for tick in (10, 50, 80):
        place = onset(left[(tick - 5) * unit :]) + (tick - 5) * unit
        assert place == pytest.approx(tick * unit + late + coded + smoothed, abs=12)
    if rate == source:
        assert (right == bot).all()


@pytest.mark.parametrize("codec", BANDS)
def test_the_recording_of_what_was_sent_is_what_was_sent(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    ear, reader = listen(call, Side.SENT, every=1, rate=rate)
    bench.ticks(3)
    bot = voice(rate, 0.5)
    call.play(bot, rate)
    bench.ticks(30)
    bench.engine.press(call.slot, "1")  # silence here: the peer hears the relay's tone
    bench.ticks(20)
    bench.engine.unsubscribe(reader)
    frame = rate // 50
    assert len(ear.all) == 53 * frame
    assert not ear.all[: 3 * frame].any()
    assert (ear.all[3 * frame : 3 * frame + len(bot)] == bot).all()
    assert not ear.all[3 * frame + len(bot) :].any()


def test_a_call_on_hold_is_recorded_on(bench: Bench) -> None:
    call = bench.call()
    ear, reader = listen(call, *STEREO, rate=8000)
    bench.ticks(5)
    call.connect(Codec.PCMU, direction="recvonly")
    bench.talk(call, encode(Codec.PCMU, voice(8000, 0.4)))
    bench.engine.unsubscribe(reader)
    assert ear.all.shape == (27 * 160, 2)
    assert likeness(ear.all[:, 0], voice(8000, 0.4)) > 0.98
    assert not ear.all[:, 1].any()


@pytest.mark.parametrize("codec", BANDS)
def test_release_delivers_what_is_left(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    heard, reader = listen(call, Side.HEARD, every=24, rate=rate)
    both, _ = listen(call, *STEREO, every=20, rate=24000 - rate)
    bench.talk(call, encode(codec, voice(rate, 0.9)))
    assert len(heard.all) < 0.9 * rate
    call.release()
    assert (heard.all == call.sound).all()
    assert heard.lost == both.lost == 0
    assert len(both.all) >= 47 * (24000 - rate) // 50
    got = len(heard.all)
    bench.engine.unsubscribe(reader)
    again = bench.call(codec)
    bench.talk(again, encode(codec, voice(rate, 0.5)))
    assert len(heard.all) == got


def test_readers_are_served_for_themselves(bench: Bench) -> None:
    call, other = bench.call(Codec.OPUS), bench.call(Codec.PCMU)
    ears = [
        listen(call, Side.HEARD, every=1, rate=16000),
        listen(call, Side.HEARD, every=7, rate=16000),
        listen(call, Side.HEARD, every=3, rate=8000),
        listen(other, Side.HEARD, every=3, rate=8000),
    ]
    bench.talk(call, encode(Codec.OPUS, voice(16000, 1)))
    for _, reader in ears:
        bench.engine.unsubscribe(reader)
    (first, _), (second, _), (third, _), (fourth, _) = ears
    assert (first.all == second.all).all()
    assert likeness(third.all, voice(8000, 1)) > 0.95
    assert len(fourth.all) == 0


def test_an_even_flow_is_kept_as_long_as_somebody_takes_it(bench: Bench) -> None:
    call = bench.call(Codec.G722)
    smoother = bench.engine.home(call.slot).smoother
    _, heard = listen(call, Side.HEARD)
    assert smoother.slots.tolist() == []
    readers = [listen(call, *sides)[1] for sides in ((Side.EVEN,), (Side.SENT,), STEREO)]
    for reader in readers:
        assert smoother.slots.tolist() == [call.slot]
        bench.engine.unsubscribe(reader)
    assert smoother.slots.tolist() == []
    bench.engine.unsubscribe(readers[0])
    bench.engine.unsubscribe(heard)
    assert smoother.slots.tolist() == []
    listen(call, *STEREO)
    call.release()
    assert smoother.slots.tolist() == []


def test_a_reader_that_ended_with_its_call_does_not_touch_the_next(bench: Bench) -> None:
    call = bench.call()
    _, old = listen(call, *STEREO)
    call.release()
    bench.engine.unsubscribe(old)
    calls = [bench.call() for _ in range(3)]
    again = next(each for each in calls if each.slot == call.slot)
    _, new = listen(again, *STEREO)
    bench.engine.unsubscribe(old)
    assert bench.engine.home(again.slot).smoother.slots.tolist() == [again.slot]
    bench.engine.unsubscribe(new)


def test_a_sink_that_fails_is_closed_and_harms_nobody(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def broken(pcm: Pcm, lost: int) -> None:
        raise ValueError("no room")

    call = bench.call()
    smoother = bench.engine.home(call.slot).smoother
    bench.engine.subscribe(call.slot, STEREO, every=2, rate=8000, sink=broken)
    ear, reader = listen(call, Side.HEARD)
    with caplog.at_level(logging.ERROR):
        bench.talk(call, encode(Codec.PCMU, voice(8000, 0.5)))
    assert "a tap failed and is closed" in caplog.text
    assert smoother.slots.tolist() == []
    bench.engine.unsubscribe(reader)
    assert (ear.all == call.sound).all()


def test_what_cannot_be_tapped(bench: Bench) -> None:
    call = bench.call()
    ear, smoother = Ear(), bench.engine.home(call.slot).smoother
    with pytest.raises(MediaError, match="8000 or 16000"):
        bench.engine.subscribe(call.slot, STEREO, every=1, rate=44100, sink=ear)
    with pytest.raises(MediaError, match="HEARD is in step with no other"):
        bench.engine.subscribe(call.slot, (Side.HEARD, Side.SENT), every=1, rate=8000, sink=ear)
    with pytest.raises(MediaError, match="cannot be tapped"):
        bench.engine.subscribe(bench.engine.allocate(), (Side.HEARD,), every=1, rate=8000, sink=ear)
    assert smoother.slots.tolist() == []


@pytest.mark.parametrize("codec", BANDS)
def test_noise_is_taken_out_of_what_is_tapped(bench: Bench, codec: Codec) -> None:
    rate = FORMATS[codec].rate
    said = speech.render("Good morning to you all, is anybody there")
    if rate == 16000:
        said = np.interp(np.arange(2 * len(said)) / 2, np.arange(len(said)), said)
    noise = np.random.default_rng(1).standard_normal(len(said) + 3 * rate) * 150
    pcm = (np.pad(said * 20000, (2 * rate, rate)) + noise).astype(np.int16)
    cleaned, plain = bench.call(codec), bench.call(codec)
    bench.engine.denoise(cleaned.slot, on=True)
    ears = [listen(call, Side.HEARD, rate=rate)[0] for call in (cleaned, plain)]
    payloads = encode(codec, pcm)
    for payload in payloads:
        cleaned.say(payload)
        plain.say(payload)
        bench.ticks()
    bench.ticks(5)
    pause = slice(rate, 2 * rate - rate // 10)
    clean, noisy = (ear.all[pause].astype(float).std() for ear in ears)
    assert 20 * np.log10(noisy / clean) > 8
    spoken = pcm[2 * rate : 2 * rate + len(said)]
    assert likeness(ears[0].all, spoken) > 0.85
    assert likeness(ears[1].all, spoken) > 0.95
    bench.engine.denoise(cleaned.slot, on=False)
    bench.talk(cleaned, payloads[:50])
    last = [ear.all[-25 * rate // 50 :].astype(float).std() for ear in ears]
    assert last[0] == pytest.approx(noisy, rel=0.2)


@pytest.mark.parametrize("codec", BANDS)
def test_who_is_muted_is_heard_by_nobody(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    ear, reader = listen(call, *STEREO, rate=rate)
    bench.engine.mute_in(call.slot, muted=True)
    bench.engine.mute_out(call.slot, muted=True)
    converse(bench, call, voice(rate, 1), voice(rate, 1), 25)
    bench.engine.unsubscribe(reader)
    frame = rate // 50
    assert not ear.all[2 * frame :].any()
    assert len(ear.all) == 25 * frame

"""What can be done to a call, through the engine, in either band; and the engine's own sockets and limits."""

from collections.abc import Iterator

import numpy as np
import pytest

from control.errors import EngineFullError, MediaError, SetupError
from media.engine.arrays import Pcm
from media.engine.background import Loop
from media.engine.engine import Engine
from media.engine.segment import Segment, State
from media.engine.sockets import open_udp
from media.engine.stream import FORMATS, Codec
from media.engine.voice import VoiceOptions
from tests.support import callbench
from tests.support.callbench import Bench, Call, decode
from tests.support.farend import HOST

BANDS = [Codec.PCMU, Codec.PCMU16]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with callbench.bench() as made:
        yield made


def steady(rate: int, seconds: float, level: int = 4000) -> Pcm:
    return np.full(round(rate * seconds), level, np.int16)


def sent(bench: Bench, call: Call, ticks: int) -> Pcm:
    """What the far end hears in so many ticks."""
    call.got = []
    bench.ticks(ticks)
    return decode(call.codec, call.got)


@pytest.mark.parametrize("codec", BANDS)
def test_a_pause_keeps_the_place(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    segment = call.play(steady(rate, 1), rate)
    bench.ticks(10)
    bench.engine.pause(call.slot)
    assert not sent(bench, call, 20)[rate // 50 :].any()
    assert segment.played == 11 * rate // 50
    bench.engine.resume(call.slot)
    assert sent(bench, call, 10)[rate // 50 :].min() > 3500
    assert segment.played == 21 * rate // 50


@pytest.mark.parametrize("codec", BANDS)
def test_gain(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    call.play(steady(rate, 1), rate)
    bench.engine.gain(call.slot, 2)
    assert sent(bench, call, 5)[-1] == pytest.approx(8000, rel=0.04)
    with pytest.raises(MediaError, match="a gain must be 0 to 16"):
        bench.engine.gain(call.slot, 17)


@pytest.mark.parametrize("codec", BANDS)
def test_a_background_gives_way(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    bench.engine.background(call.slot, Loop(steady(rate, 0.1), rate), 1, 0.25)
    assert sent(bench, call, 30)[-1] == pytest.approx(4000, rel=0.04)
    call.play(steady(rate, 0.4, 8000), rate)
    assert sent(bench, call, 15)[-1] == pytest.approx(9000, rel=0.04)
    bench.engine.background(call.slot, None)
    assert not sent(bench, call, 30)[-1]
    with pytest.raises(MediaError, match="cannot be played at"):
        bench.engine.background(call.slot, Loop(steady(24000 - rate, 1), 24000 - rate))


@pytest.mark.parametrize("codec", BANDS)
def test_what_is_heard_plays_to_its_end(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    first, second = call.play(steady(rate, 0.2), rate), call.play(steady(rate, 0.2), rate)
    assert bench.engine.finish(call.slot) is None
    bench.ticks(2)
    finished = bench.engine.finish(call.slot)
    assert finished is not None
    assert (finished.segment, finished.dropped) == (first, (second,))
    bench.ticks(10)
    assert (first.state, second.state) == (State.ENDED, State.STOPPED)


@pytest.mark.parametrize("codec", BANDS)
def test_a_stop_fades_over_milliseconds(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    call.play(steady(rate, 1), rate)
    bench.ticks(3)
    bench.engine.stop(call.slot, 60)
    faded = sent(bench, call, 5)
    assert faded[0] > 3500
    assert (np.diff(faded.astype(int)) <= 0).all()
    assert np.flatnonzero(faded)[-1] == pytest.approx(0.06 * rate, abs=0.005 * rate)


def test_each_of_them_wants_a_slot_with_a_codec(bench: Bench) -> None:
    engine, slot = bench.engine, bench.engine.allocate()
    for step in (
        lambda: engine.enqueue(slot, Segment()),
        lambda: engine.stop(slot),
        lambda: engine.finish(slot),
        lambda: engine.pause(slot),
        lambda: engine.resume(slot),
        lambda: engine.mute_in(slot, muted=True),
        lambda: engine.mute_out(slot, muted=True),
        lambda: engine.gain(slot, 1),
        lambda: engine.background(slot, None),
        lambda: engine.denoise(slot, on=True),
        lambda: engine.detect_tones(slot, on=True),
        lambda: engine.enable_voice(slot, VoiceOptions()),
        lambda: engine.disable_voice(slot),
        lambda: engine.received(slot),
    ):
        with pytest.raises(MediaError, match=f"slot {slot} has no codec yet"):
            step()


def test_an_engine_that_accepts_nothing(bench: Bench) -> None:
    bench.call()
    bench.engine.accepting = False
    with pytest.raises(EngineFullError, match="no time for more than its 1 calls"):
        bench.engine.allocate()
    bench.engine.accepting = True
    assert bench.engine.free == 2
    bench.engine.allocate()


def test_a_quality_of_a_slot_without_a_codec(bench: Bench) -> None:
    quality = bench.engine.quality(bench.engine.allocate())
    assert (quality.mos, quality.loss_fraction, quality.jitter_ms) == (None, 0, 0)


def test_the_port_above_must_be_free_too() -> None:
    with open_udp(HOST, 0) as upper:
        port = upper.getsockname()[1] - 1
        with pytest.raises(SetupError, match=f"{HOST}:{port + 1}"):
            Engine(HOST, port, 1)
        open_udp(HOST, port).close()  # nothing is left behind


def test_any_pair_of_ports_is_looked_for_until_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def opened(address: str, port: int, **options: bool) -> object:
        tried.append(port)
        if port and len(tried) < 5:
            raise SetupError(f"{address}:{port} is taken")
        return open_udp(address, port, **options)

    monkeypatch.setattr("media.engine.rtcpsocket.open_udp", opened)
    engine = Engine(HOST, 0, 1)
    engine.close()
    assert len(tried) == 5
    monkeypatch.setattr("media.engine.reporting._TRIES", 3)
    tried.clear()
    with pytest.raises(SetupError, match="is taken"):
        Engine(HOST, 0, 1)
    assert len(tried) == 3

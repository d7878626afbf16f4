"""Slots that play for those who listen in while nothing leaves, and streams that come from elsewhere."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.arrays import FRAME, Pcm
from media.engine.engine import Engine
from media.engine.reports import SegmentEnded, SegmentStarted
from media.engine.stream import Codec
from media.engine.taps import Side
from tests.support import callbench
from tests.support.callbench import Bench, Call
from tests.support.farend import HOST, FarEnd, Stream


@pytest.fixture
def bench() -> Iterator[Bench]:
    with callbench.bench() as made:
        yield made


def noise(length: int) -> Pcm:
    return np.random.default_rng(1).integers(-30000, 30000, length).astype(np.int16)


def sent(call: Call, rate: int = 8000) -> list[Pcm]:
    """What a reader of the sent side gets, tick by tick."""
    heard: list[Pcm] = []
    call.engine.subscribe(
        call.slot, (Side.SENT,), every=1, rate=rate, sink=lambda pcm, _lost: heard.append(pcm.copy())
    )
    return heard


@pytest.mark.parametrize(("codec", "rate"), [(Codec.PCMU, 8000), (Codec.G722, 16_000)])
def test_a_shadow_plays_and_nothing_leaves(bench: Bench, codec: Codec, rate: int) -> None:
    call, other = bench.call(codec, direction="recvonly"), bench.call(codec)
    heard = sent(call, rate)
    pcm = noise(3 * rate // 50)
    segment = call.play(pcm, rate)
    bench.engine.shadow(call.slot, on=True)
    assert bench.ticks(4) == [SegmentStarted(call.slot, segment), SegmentEnded(call.slot, segment)]
    assert call.got == []
    assert len(other.got) == 4
    assert np.concatenate(heard)[: len(pcm)].tolist() == pcm.tolist()
    assert bench.engine.stats(call.slot).sent == 0


def test_without_a_shadow_it_waits_again(bench: Bench) -> None:
    call = bench.call(direction="inactive")
    segment = call.play(noise(5 * FRAME), 8000)
    bench.engine.shadow(call.slot, on=True)
    bench.ticks(2)
    bench.engine.shadow(call.slot, on=False)
    bench.ticks(2)
    assert segment.played == 2 * FRAME


def test_a_slot_that_sends_is_no_shadow(bench: Bench) -> None:
    call = bench.call(direction="recvonly")
    segment = call.play(noise(4 * FRAME), 8000)
    bench.engine.shadow(call.slot, on=True)
    bench.ticks(2)
    call.connect(Codec.PCMU)
    bench.ticks(2)
    assert segment.played == 4 * FRAME
    assert len(call.got) == 2


def test_the_next_call_of_a_slot_is_no_shadow() -> None:
    with callbench.bench(1) as bench:
        call = bench.call(direction="recvonly")
        bench.engine.shadow(call.slot, on=True)
        call.release()
        again = bench.call(direction="recvonly")
        segment = again.play(noise(FRAME), 8000)
        bench.ticks(2)
        assert segment.played == 0


def test_a_slot_without_a_codec_cannot_be_a_shadow(bench: Bench) -> None:
    with pytest.raises(MediaError, match="has no codec yet"):
        bench.engine.shadow(bench.engine.allocate(), on=True)


def test_packets_may_come_from_another_port_than_they_go_to() -> None:
    engine = Engine(HOST, 0, 2)
    with FarEnd(engine.port) as music, FarEnd(engine.port) as tap, FarEnd(engine.port, "127.0.0.2") as away:
        slot, other = engine.allocate(), engine.allocate()
        engine.connect(slot, Stream(music.port))
        engine.connect(slot, Stream(music.port, source_port=tap.port))
        music.send(bytes(FRAME))
        engine.tick()
        assert (engine.strangers, engine.stats(slot).received) == (1, 0)
        tap.send(bytes(FRAME))
        engine.tick()
        assert (len(music.read()), len(tap.read()), engine.stats(slot).received) == (2, 0, 1)
        with pytest.raises(MediaError, match=f"source port {tap.port} already belongs to slot {slot}"):
            engine.connect(other, Stream(tap.port))
        engine.connect(other, replace(Stream(music.port), direction="recvonly"))  # nobody is heard from there
        engine.release(other)
        engine.connect(slot, Stream(music.port, source_port=away.port, source_address="127.0.0.2"))
        away.sequence, music.sequence = 1001, 1002
        away.send(bytes(FRAME))
        engine.tick()
        assert engine.stats(slot).received == 2
        engine.connect(slot, Stream(music.port))
        music.send(bytes(FRAME))
        engine.tick()
        assert engine.stats(slot).received == 3
    engine.close()

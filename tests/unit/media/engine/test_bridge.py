"""Two slots of one engine that hear each other."""

from collections.abc import Iterator

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.arrays import Pcm
from media.engine.bridge import MOST_MS, Bridge, Live
from media.engine.reports import SegmentEnded, SegmentStarted
from media.engine.segment import Segment, State
from media.engine.stream import FORMATS, Codec
from media.engine.tones import MILLIWATT
from media.engine.wire import Form
from tests.support import callbench
from tests.support.callbench import Bench, Call, decode, encode, likeness

BANDS = [Codec.PCMU, Codec.G722]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with callbench.bench() as made:
        yield made


def tone(rate: int, ticks: int) -> Pcm:
    time = np.arange(ticks * rate // 50) / rate
    return np.asarray(np.rint(MILLIWATT / 2 * np.sin(2 * np.pi * 440 * time)), np.int16)


def onset(pcm: Pcm) -> int:
    return int(np.argmax(np.abs(pcm) > 1000))


def say(bench: Bench, call: Call, ticks: int) -> None:
    """A tone for so many ticks."""
    for packet in encode(call.codec, tone(FORMATS[call.codec].rate, ticks)):
        call.say(packet)
        bench.ticks()


@pytest.mark.parametrize("source", BANDS)
@pytest.mark.parametrize("target", BANDS)
def test_what_one_says_the_other_hears_soon(bench: Bench, source: Codec, target: Codec) -> None:
    one, two = bench.call(source), bench.call(target)
    bridge = Bridge(bench.engine, one.slot, two.slot)
    assert bridge.open
    quiet = np.zeros(FORMATS[source].rate // 50, np.int16)
    for packet in encode(source, np.tile(quiet, 25)):
        one.say(packet)
        bench.ticks()
    say(bench, one, 50)
    bench.ticks(5)
    heard, rate = decode(target, two.got), FORMATS[target].rate
    assert 40 <= (onset(heard) / rate - 0.5) * 1000 < 50
    assert likeness(heard, tone(rate, 50)) > 0.99


def test_the_end_of_a_bridge(bench: Bench) -> None:
    one, two = bench.call(), bench.call()
    bridge = Bridge(bench.engine, one.slot, two.slot)
    say(bench, one, 5)
    bridge.close()
    bridge.close()
    assert not bridge.open
    events = bench.ticks(3)
    assert [type(event) for event in events] == [SegmentEnded]
    after = two.play(tone(8000, 2), 8000)
    one.say(encode(Codec.PCMU, tone(8000, 1))[0])
    assert SegmentStarted(two.slot, after) in bench.ticks(1)


def test_no_delay_is_kept_of_a_time_in_which_the_target_was_silent(bench: Bench) -> None:
    one, two = bench.call(), bench.call()
    bridge = Bridge(bench.engine, one.slot, two.slot)
    say(bench, one, 10)
    two.connect(Codec.PCMU, direction="recvonly")
    for packet in encode(Codec.PCMU, np.zeros(160 * 30, np.int16)):
        one.say(packet)
        bench.ticks()
    two.connect(Codec.PCMU)
    two.got.clear()
    say(bench, one, 20)
    assert onset(decode(Codec.PCMU, two.got)) <= 160 * (2 + MOST_MS // 20)
    assert bridge.open


def test_a_pause_of_the_target_keeps_no_delay_either(bench: Bench) -> None:
    one, two = bench.call(), bench.call()
    Bridge(bench.engine, one.slot, two.slot)
    say(bench, one, 10)
    bench.engine.pause(two.slot)
    for packet in encode(Codec.PCMU, np.zeros(160 * 30, np.int16)):
        one.say(packet)
        bench.ticks()
    bench.engine.resume(two.slot)
    bench.ticks(4)  # what the pause cut off
    two.got.clear()
    say(bench, one, 20)
    assert onset(decode(Codec.PCMU, two.got)) <= 160 * (2 + MOST_MS // 20)


def test_a_bridge_of_hours_holds_no_more_than_one_of_seconds(bench: Bench) -> None:
    one, two = bench.call(), bench.call()
    bridge = Bridge(bench.engine, one.slot, two.slot)
    (packet,) = encode(Codec.PCMU, tone(8000, 1))
    for _ in range(500):
        one.say(packet)
        bench.engine.tick()
    segment = bridge._segment
    assert segment.total - segment.played <= MOST_MS * 8
    assert len(segment._chunks) <= 1


def test_it_ends_with_its_target(bench: Bench) -> None:
    one, two = bench.call(), bench.call()
    bridge = Bridge(bench.engine, one.slot, two.slot)
    say(bench, one, 3)
    bench.engine.stop(two.slot)
    assert not bridge.open
    say(bench, one, 2)
    assert not bench.engine._taps.stepped(one.slot)
    bridge.close()


def test_it_ends_with_its_source(bench: Bench) -> None:
    one, two = bench.call(), bench.call()
    bridge = Bridge(bench.engine, one.slot, two.slot)
    say(bench, one, 3)
    one.release()
    assert not bridge.open
    bridge.close()
    assert [type(event) for event in bench.ticks(4)] == [SegmentEnded]


def test_the_tail_of_a_filter_is_not_played_after_the_end(bench: Bench) -> None:
    one, two = bench.call(Codec.G722), bench.call(Codec.PCMU)
    bridge = Bridge(bench.engine, one.slot, two.slot)
    say(bench, one, 3)
    bridge.close()
    assert bridge._segment.closed


def test_slots_that_are_not_connected_cannot_be_bridged(bench: Bench) -> None:
    one = bench.call()
    lonely = bench.engine.allocate()
    with pytest.raises(MediaError, match="has no codec yet"):
        Bridge(bench.engine, lonely, one.slot)
    with pytest.raises(MediaError, match="has no codec yet"):
        Bridge(bench.engine, one.slot, lonely)
    assert bench.engine.stop(one.slot) is None


def test_a_bot_and_a_telephone(bench: Bench) -> None:
    phone, bot, sent = bench.call(Codec.PCMA), bench.engine.allocate(), list[bytes]()
    bench.engine.attach(bot, Form.PCM, sent.append)
    there, back = Bridge(bench.engine, bot, phone.slot), Bridge(bench.engine, phone.slot, bot)
    wide = tone(16_000, 1)
    for packet in encode(Codec.PCMA, tone(8000, 50)):
        bench.engine.feeder(bot)(wide.tobytes())
        phone.say(packet)
        bench.ticks()
    assert there.open
    assert back.open
    assert likeness(np.frombuffer(b"".join(sent), np.int16), tone(16_000, 46)) > 0.99
    assert np.abs(decode(Codec.PCMA, phone.got)[800:]).max() > 1000


def test_of_a_live_segment_the_oldest_is_dropped() -> None:
    segment = Live(None, 8000, 100)
    segment.append(np.arange(70, dtype=np.int16))
    segment.append(np.arange(70, 140, dtype=np.int16))
    assert segment.total == 100
    assert np.concatenate(segment.load(1000)).tolist() == list(range(40, 140))
    segment.append(np.arange(250, dtype=np.int16))
    assert segment.total <= 200
    assert segment.state is State.NEW
    assert isinstance(segment, Segment)

"""Keys through the engine: as telephone events on the wire, as tones, and what is heard of both."""

from collections.abc import Iterator

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.arrays import Pcm
from media.engine.events import DIGITS
from media.engine.reports import DigitPressed, DigitSent, Event, SegmentEnded
from media.engine.stream import FORMATS, Codec
from media.engine.tones import dtmf
from tests.support import callbench
from tests.support.callbench import Bench, Call, decode, encode, likeness
from tests.support.farend import Packet
from tests.support.voicelike import voice

EVENTS = 101
KEY, PAUSE = 8, 4
"""Ticks of the default key and of the pause behind it."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    with callbench.bench() as made:
        yield made


def noise(samples: int) -> Pcm:
    return np.random.default_rng(1).integers(-20000, 20000, samples).astype(np.int16)


def keys(call: Call) -> list[Packet]:
    return [packet for packet in call.got if packet.payload_type == EVENTS]


def pressed(events: list[Event], call: Call) -> str:
    return "".join(e.digit for e in events if isinstance(e, DigitPressed) and e.slot == call.slot)


@pytest.mark.parametrize("codec", Codec)
def test_a_key_on_the_wire(bench: Bench, codec: Codec) -> None:
    call, step = bench.call(codec), FORMATS[codec].clock // 50
    bench.ticks(3)
    bench.engine.press(call.slot, "#")
    events = bench.ticks(20)
    packets = keys(call)
    begin = call.got[3].timestamp
    assert call.got[3:13] == packets
    assert begin == call.got[2].timestamp + step & 0xFFFFFFFF
    assert {packet.timestamp for packet in packets} == {begin}
    assert [packet.marker for packet in packets] == [True] + [False] * 9
    assert {packet.payload[0] for packet in packets} == {DIGITS.index("#")}
    assert [packet.payload[1] >> 7 for packet in packets] == [0] * (KEY - 1) + [1] * 3
    durations = [int.from_bytes(packet.payload[2:], "big") // step for packet in packets]
    assert durations == [*range(1, KEY + 1), KEY, KEY]
    assert events == [DigitSent(call.slot, "#")]


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.OPUS])
def test_the_numbering_runs_through_keys_and_audio(bench: Bench, codec: Codec) -> None:
    call, step = bench.call(codec), FORMATS[codec].clock // 50
    bench.ticks(2)
    bench.engine.press(call.slot, "11")
    bench.ticks(2 * (KEY + PAUSE) + 5)
    first = call.got[0]
    assert [packet.sequence - first.sequence & 0xFFFF for packet in call.got] == list(range(len(call.got)))
    for number, packet in enumerate(call.got):
        if packet.payload_type != EVENTS:
            assert packet.timestamp - first.timestamp & 0xFFFFFFFF == number * step
    times = sorted({packet.timestamp - first.timestamp & 0xFFFFFFFF for packet in keys(call)})
    assert times == [2 * step, (2 + KEY + PAUSE) * step]
    assert {packet.ssrc for packet in call.got} == {bench.engine.ssrc(call.slot)}


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, Codec.PCMU16])
def test_playing_waits_for_keys_and_loses_no_sample(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    pcm = noise(10 * rate // 50)
    segment = call.play(pcm, rate)
    bench.ticks(4)
    bench.engine.press(call.slot, "5")
    bench.ticks(KEY + 2)
    assert segment.played == 4 * rate // 50
    events = bench.ticks(7)
    assert SegmentEnded(call.slot, segment) in events
    assert b"".join(packet.payload for packet in call.audio[:10]) == b"".join(encode(codec, pcm))
    assert len(keys(call)) == KEY + 2


def test_playing_goes_on_where_it_was_in_a_codec_with_memory(bench: Bench) -> None:
    call = bench.call(Codec.OPUS)
    call.play(voice(16000, 1), 16000)
    bench.ticks(20)
    bench.engine.press(call.slot, "5")
    bench.ticks(50)
    assert likeness(decode(Codec.OPUS, call.audio), voice(16000, 1)) > 0.93


def test_other_calls_play_on(bench: Bench) -> None:
    calls = [bench.call(codec) for codec in (Codec.PCMU, Codec.PCMU, Codec.OPUS)]
    for call in calls:
        call.play(voice(8000, 1), 8000)
    bench.engine.press(calls[1].slot, "9")
    bench.ticks(60)
    for call in calls:
        rate = FORMATS[call.codec].rate
        assert likeness(decode(call.codec, call.audio), voice(rate, 1)) > 0.93
    assert [len(keys(call)) for call in calls] == [0, KEY + 2, 0]


@pytest.mark.parametrize("codec", Codec)
def test_a_peer_that_takes_no_events_gets_tones(bench: Bench, codec: Codec) -> None:
    ours, theirs = bench.call(codec, event_payload_type=None), bench.call(codec)
    bench.engine.detect_tones(theirs.slot, on=True)
    bench.engine.press(ours.slot, "159D*", duration_ms=100, gap_ms=100)
    events = []
    for _ in range(60):
        events += bench.ticks()
        theirs.say(ours.got[-1].payload)
    assert pressed(events + bench.ticks(2), theirs) == "159D*"
    assert len(ours.audio) == len(ours.got) == 62


def test_what_is_played_waits_for_tones(bench: Bench) -> None:
    call = bench.call(Codec.PCMA, event_payload_type=None)
    pcm = noise(480)
    call.play(pcm, 8000)
    bench.ticks()
    bench.engine.press(call.slot, "7", duration_ms=80, gap_ms=40)
    bench.ticks(9)
    whole = np.concatenate([pcm[:160], dtmf("7", 8000, 80, 40), pcm[160:]])
    sent = b"".join(packet.payload for packet in call.got)
    assert sent[: len(whole)] == encode(Codec.PCMA, whole, 10 * len(whole) // 80)[0]


def test_detection_of_tones_ends_with_the_first_event(bench: Bench) -> None:
    call = bench.call(Codec.PCMU)
    bench.engine.detect_tones(call.slot, on=True)
    tones = encode(Codec.PCMU, dtmf("12", 8000, 100, 100))
    assert pressed(bench.talk(call, tones), call) == "12"
    call.far.press(3)
    call.far.press(3, end=True)
    assert pressed(bench.ticks(), call) == "3"
    assert pressed(bench.talk(call, tones), call) == ""
    bench.engine.detect_tones(call.slot, on=True)
    assert pressed(bench.talk(call, tones), call) == "12"
    bench.engine.detect_tones(call.slot, on=False)
    assert pressed(bench.talk(call, tones), call) == ""


def test_the_same_key_as_tone_and_as_event_counts_once(bench: Bench) -> None:
    call = bench.call(Codec.G722)
    bench.engine.detect_tones(call.slot, on=True)
    tones = encode(Codec.G722, dtmf("4", 16000, 160, 100))
    far, begin, events = call.far, call.far.timestamp, []
    for number, payload in enumerate(tones):
        if number < KEY:
            now, far.timestamp = far.timestamp, begin
            far.press(4, end=number == KEY - 1)
            far.timestamp = now
        call.say(payload)
        events += bench.ticks()
    assert pressed(events, call) == "4"


def test_keys_of_an_earlier_call_are_forgotten(bench: Bench) -> None:
    call = bench.call()
    bench.engine.press(call.slot, "123456789")
    bench.ticks(5)
    call.release()
    for _ in range(3):
        again = bench.call()
        bench.ticks(5)
        assert keys(again) == []
        again.release()


def test_a_change_of_codec_ends_the_keys(bench: Bench) -> None:
    """Their clock is another one: what is under way cannot go on."""
    call = bench.call(Codec.OPUS)
    bench.engine.press(call.slot, "12")
    bench.ticks(3)
    call.connect(Codec.PCMU)
    call.got = []
    bench.ticks(30)
    assert keys(call) == []
    bench.engine.press(call.slot, "3")
    bench.ticks(10)
    assert {int.from_bytes(packet.payload[2:], "big") % 160 for packet in keys(call)} == {0}


def test_keys_end_when_the_peer_takes_no_events_any_more(bench: Bench) -> None:
    call = bench.call()
    bench.engine.press(call.slot, "123")
    bench.ticks(3)
    call.connect(Codec.PCMU, event_payload_type=None)
    call.got = []
    bench.ticks(30)
    assert {len(packet.payload) for packet in call.got} == {160}


def test_what_is_no_key_is_refused(bench: Bench) -> None:
    call, deaf = bench.call(), bench.call(event_payload_type=None)
    with pytest.raises(MediaError, match="keys are 0 to 9"):
        bench.engine.press(call.slot, "1x")
    with pytest.raises(MediaError, match="keys are 0 to 9"):
        bench.engine.press(deaf.slot, "1x")
    with pytest.raises(MediaError, match="are the most of either"):
        bench.engine.press(deaf.slot, "12", duration_ms=50_000)
    with pytest.raises(MediaError, match="has no codec yet"):
        bench.engine.press(bench.engine.allocate(), "1")
    bench.ticks(3)
    assert keys(call) == []

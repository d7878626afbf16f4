"""Calls of the wide band and of both: audio both ways in each codec, changes of codec, losses, new streams."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine.arrays import Pcm
from media.engine.codecs import g722, registry
from media.engine.reports import MediaStarted, SegmentEnded, SpeechStarted, SpeechStopped
from media.engine.stream import FORMATS, Codec
from media.engine.voice import VoiceOptions
from tests.support import callbench, speech
from tests.support.callbench import PAYLOAD_TYPES, Bench, decode, encode, likeness
from tests.support.farend import HEADER
from tests.support.voicelike import voice

WIDE = [Codec.PCMU16, Codec.G722, Codec.OPUS]
STEP = {Codec.PCMU: 160, Codec.PCMA: 160, Codec.PCMU16: 320, Codec.G722: 160, Codec.OPUS: 960}


@pytest.fixture
def bench() -> Iterator[Bench]:
    with callbench.bench() as made:
        yield made


def tone(frequency: int, rate: int, seconds: float, level: int = 6000) -> Pcm:
    wave = level * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)
    return np.asarray(np.rint(wave), np.int16)


def loudness(pcm: Pcm, frequency: int, rate: int) -> float:
    """dB of a sine of `frequency` against amplitude 6000."""
    part = pcm.astype(float) * np.hanning(len(pcm))
    turn = np.exp(-2j * np.pi * frequency * np.arange(len(part)) / rate)
    return float(20 * np.log10(abs(part @ turn) / (6000 * len(part) / 4) + 1e-9))


@pytest.mark.parametrize("codec", Codec)
def test_the_first_codec_decides_the_rate(bench: Bench, codec: Codec) -> None:
    call = bench.call(codec)
    rate = 16000 if codec in WIDE else 8000
    assert bench.engine.rate(call.slot) == rate
    call.say(encode(codec, voice(rate, 0.1))[0])
    assert bench.ticks() == [MediaStarted(call.slot)]
    assert len(call.heard[0]) == rate // 50


@pytest.mark.parametrize(
    ("codec", "ms"),
    [(codec, ms) for codec in Codec for ms in ((10, 20, 30) if codec is Codec.PCMU16 else (10, 20, 40, 60))],
)
def test_what_the_peer_says_is_heard(bench: Bench, codec: Codec, ms: int) -> None:
    call = bench.call(codec)
    said = voice(FORMATS[codec].rate, 1.8)
    payloads = encode(codec, said, ms)
    bench.talk(call, payloads, ms)
    assert len(call.sound) == len(payloads) * ms * FORMATS[codec].rate // 1000
    assert likeness(call.sound, said) > (0.95 if codec is Codec.OPUS else 0.985)
    stats = bench.engine.stats(call.slot)
    assert (stats.received, stats.lost, stats.bad) == (len(payloads), 0, 0)


@pytest.mark.parametrize("codec", WIDE)
def test_the_upper_half_of_the_band_is_heard_and_sent(bench: Bench, codec: Codec) -> None:
    call = bench.call(codec)
    wave = tone(5500, 16000, 1)
    call.play(wave, 16000)
    bench.talk(call, encode(codec, wave))
    assert loudness(call.sound[4000:12000], 5500, 16000) == pytest.approx(0, abs=1.5)
    assert loudness(decode(codec, call.got)[4000:12000], 5500, 16000) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("source", [8000, 16000])
@pytest.mark.parametrize("codec", Codec)
def test_what_is_played_is_heard_by_the_peer(bench: Bench, codec: Codec, source: int) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    segment = call.play(voice(source, 1.5), source)
    events = bench.ticks(85)
    assert SegmentEnded(call.slot, segment) in events
    assert segment.played == 1.5 * source
    assert likeness(decode(codec, call.got), voice(rate, 1.5)) > (0.93 if codec is Codec.OPUS else 0.985)


@pytest.mark.parametrize("codec", Codec)
def test_packets_are_numbered_in_the_clock_of_the_codec(bench: Bench, codec: Codec) -> None:
    call = bench.call(codec)
    bench.ticks(20)
    first = call.got[0]
    assert [packet.marker for packet in call.got] == [True] + [False] * 19
    for number, packet in enumerate(call.got):
        assert packet.sequence == first.sequence + number & 0xFFFF
        assert packet.timestamp == first.timestamp + number * STEP[codec] & 0xFFFFFFFF
        assert (packet.ssrc, packet.payload_type) == (bench.engine.ssrc(call.slot), PAYLOAD_TYPES[codec])
    if codec is not Codec.OPUS:
        assert {len(packet.payload) for packet in call.got} == {320 if codec is Codec.PCMU16 else 160}


@pytest.mark.parametrize("codec", Codec)
def test_lost_packets_are_concealed(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    said = voice(rate, 2)
    payloads = encode(codec, said)
    lost = {20, 50, 51, 80}
    bench.talk(call, payloads, lost=lost)
    assert len(call.sound) == len(said)
    assert likeness(call.sound, said) > (0.93 if codec is Codec.OPUS else 0.95)
    frame = rate // 50
    assert np.abs(call.sound[20 * frame : 21 * frame]).max() > 500
    stats = bench.engine.stats(call.slot)
    assert (stats.received, stats.lost) == (len(payloads) - len(lost), len(lost))


def test_opus_is_concealed_by_what_the_next_packet_repeats(bench: Bench) -> None:
    said, lost = voice(16000, 4), range(10, 190, 10)
    heard = []
    for settings in ({"fec": 1, "loss": 20}, {"fec": 0}):
        call = bench.call(Codec.OPUS)
        bench.talk(call, encode(Codec.OPUS, said, **settings), lost=lost)
        whole = bench.call(Codec.OPUS)
        bench.talk(whole, encode(Codec.OPUS, said, **settings))
        frames, expected = (each.sound.reshape(-1, 320)[lost].astype(float) for each in (call, whole))
        heard.append(float(((frames - expected) ** 2).sum() / (expected**2).sum()))
        call.release()
        whole.release()
    repeated, guessed = heard
    assert repeated < 0.25
    assert repeated < guessed / 2


@pytest.mark.parametrize(
    "codecs",
    [
        (Codec.PCMU, Codec.OPUS, Codec.PCMA, Codec.G722, Codec.PCMU16),
        (Codec.OPUS, Codec.PCMU, Codec.G722, Codec.PCMA, Codec.OPUS),
    ],
)
def test_codecs_change_within_a_call_and_its_rate_does_not(bench: Bench, codecs: tuple[Codec, ...]) -> None:
    call = bench.call(codecs[0])
    rate = FORMATS[codecs[0]].rate
    ssrc, sent = bench.engine.ssrc(call.slot), 0
    for codec in codecs:
        call.connect(codec)
        call.heard, call.got = [], []
        segment = call.play(voice(rate, 1.2), rate)
        said = voice(FORMATS[codec].rate, 1.2)
        events = bench.talk(call, encode(codec, said))
        assert SegmentEnded(call.slot, segment) in events
        assert bench.engine.rate(call.slot) == rate
        assert len(call.sound) == 1.2 * rate
        assert likeness(call.sound, voice(rate, 1.2)) > 0.93
        assert {packet.payload_type for packet in call.got} == {PAYLOAD_TYPES[codec]}
        assert {packet.ssrc for packet in call.got} == {ssrc}
        assert likeness(decode(codec, call.got), said) > 0.93
        sent += len(call.got)
    stats = bench.engine.stats(call.slot)
    assert (stats.sent, stats.lost, stats.bad) == (sent, 0, 0)


def test_a_change_of_codec_drops_what_waits_in_the_old_one(bench: Bench) -> None:
    call = bench.call(Codec.OPUS)
    payloads = encode(Codec.OPUS, voice(16000, 1))
    bench.talk(call, payloads[:20])
    call.lose()
    call.say(payloads[21])  # it waits for the one that is missing
    bench.ticks()
    call.connect(Codec.G722)
    call.heard = []
    bench.ticks(5)
    assert call.sound.size == 0
    bench.talk(call, encode(Codec.G722, voice(16000, 1)))
    assert likeness(call.sound, voice(16000, 1)) > 0.985
    stats = bench.engine.stats(call.slot)
    assert (stats.received, stats.lost, stats.skipped, stats.bad) == (20 + 1 + 50, 1, 1, 0)


def test_a_codec_without_its_library_is_refused_and_the_call_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    call = bench.call(Codec.OPUS)
    g722.library.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(g722, "import_module", missing)
        with pytest.raises(MediaError, match=r"codec g722 cannot be used"):
            call.connect(Codec.G722)
    call.codec = Codec.OPUS
    bench.talk(call, encode(Codec.OPUS, voice(16000, 1)))
    assert likeness(call.sound, voice(16000, 1)) > 0.95
    assert {packet.payload_type for packet in call.got} == {111}


def test_a_released_slot_begins_anew_in_either_band(bench: Bench) -> None:
    for codec in (Codec.OPUS, Codec.PCMU, Codec.G722, Codec.OPUS) * 2:
        call = bench.call(codec)
        rate = FORMATS[codec].rate
        bench.talk(call, encode(codec, voice(rate, 0.6)))
        assert bench.engine.rate(call.slot) == rate
        assert likeness(call.sound, voice(rate, 0.6)) > 0.93
        call.release()
        with pytest.raises(MediaError, match="is not allocated"):
            bench.engine.received(call.slot)


def test_release_frees_the_coder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = []

    class Counted(g722.G722):
        def __init__(self, rate: int) -> None:
            super().__init__(rate)
            alive.append(self)

        def __del__(self) -> None:
            freed.append(id(self))

    freed: list[int] = []
    payloads = encode(Codec.G722, voice(16000, 0.2))
    monkeypatch.setitem(registry._MAKERS, Codec.G722, Counted)
    call = bench.call(Codec.G722)
    bench.talk(call, payloads)
    numbers = [id(coder) for coder in alive]
    alive.clear()
    assert freed == []
    call.release()
    assert freed == numbers
    assert len(numbers) == 1


def test_malformed_opus_is_counted_and_concealed(bench: Bench) -> None:
    call = bench.call(Codec.OPUS)
    payloads = encode(Codec.OPUS, voice(16000, 1))
    coder = bench.engine._coders[call.slot]
    bench.talk(call, payloads[:20])
    before = len(call.sound)
    bench.talk(call, [b"\xff\xff", b"\x03", payloads[22][:1] + b"\xff" * 470])
    assert 1 <= coder.errors <= 3
    refused = coder.errors
    assert len(call.sound) > before
    bench.talk(call, payloads[23:])
    assert likeness(call.sound[-320 * 27 :], voice(16000, 1)[320 * 25 :]) > 0.9
    assert bench.engine.stats(call.slot).bad == 0
    assert bench.engine.codec_errors == refused
    call.release()
    assert bench.engine.codec_errors == refused


@given(st.lists(st.binary(max_size=500), min_size=1, max_size=30))
def test_no_opus_payload_raises(payloads: list[bytes]) -> None:
    with callbench.bench(1) as bench:
        call = bench.call(Codec.OPUS)
        bench.talk(call, payloads)
        stats = bench.engine.stats(call.slot)
        usable = sum(0 < len(payload) <= 480 for payload in payloads)
        assert (stats.received, stats.bad) == (usable, len(payloads) - usable)


@pytest.mark.parametrize("economical", [False, True])
@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.G722, Codec.OPUS])
def test_voice_is_detected_in_either_band(bench: Bench, codec: Codec, economical: bool) -> None:
    bench.engine.economise(on=economical)
    call, rate = bench.call(codec), FORMATS[codec].rate
    said = speech.render("Good morning to you all, is anybody there?")
    if rate == 16000:
        said = np.interp(np.arange(2 * len(said)) / 2, np.arange(len(said)), said)
    pcm = (np.pad(said * 20000, (rate // 2, rate))).astype(np.int16)
    bench.engine.enable_voice(call.slot, VoiceOptions())
    events = bench.talk(call, encode(codec, pcm))
    heard = [event for event in events if isinstance(event, SpeechStarted | SpeechStopped)]
    assert isinstance(heard[0], SpeechStarted)
    assert isinstance(heard[-1], SpeechStopped)
    spoken = sum(event.speech for event in heard if isinstance(event, SpeechStopped))
    assert spoken == pytest.approx(len(said) * 8000 / rate, rel=0.3)
    bench.engine.disable_voice(call.slot)
    assert bench.talk(call, encode(codec, pcm)) == []


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.G722])
def test_comfort_noise_is_numbered_and_not_heard(bench: Bench, codec: Codec) -> None:
    call, rate = bench.call(codec), FORMATS[codec].rate
    said = voice(rate, 1)
    payloads = encode(codec, said)
    for number, payload in enumerate(payloads):
        call.say(payload)
        if number % 10 == 9:
            call.far.send(bytes([60, 1, 2]), payload_type=13, samples=160)
            assert bench.engine.tick() is not None
            call.heard.append(bench.engine.received(call.slot).copy())
        else:
            bench.ticks()
    bench.ticks(3)
    assert len(call.sound) == len(said)
    assert likeness(call.sound, said) > 0.985
    stats = bench.engine.stats(call.slot)
    assert (stats.received, stats.lost, stats.bad) == (55, 0, 0)


def test_a_new_stream_of_ours(bench: Bench) -> None:
    call = bench.call(Codec.OPUS)
    bench.ticks(10)
    old = bench.engine.ssrc(call.slot)
    bench.engine.renew(call.slot)
    new = bench.engine.ssrc(call.slot)
    call.play(voice(16000, 1), 16000)
    bench.ticks(60)
    before, after = call.got[:10], call.got[10:]
    assert {packet.ssrc for packet in before} == {old}
    assert {packet.ssrc for packet in after} == {new}
    assert new != old
    assert [packet.marker for packet in after] == [True] + [False] * 59
    first = after[0]
    assert (first.sequence, first.timestamp) != (before[-1].sequence + 1, before[-1].timestamp + 960)
    assert [packet.sequence - first.sequence & 0xFFFF for packet in after] == list(range(60))
    assert likeness(decode(Codec.OPUS, after), voice(16000, 1)) > 0.93
    assert bench.engine.stats(call.slot).sent == 70


def test_a_new_stream_of_a_slot_that_is_not_taken(bench: Bench) -> None:
    with pytest.raises(MediaError, match="slot 1 is not allocated"):
        bench.engine.renew(1)


def test_a_new_stream_of_the_peer(bench: Bench) -> None:
    """After a transfer the relay forwards another source: it is followed from its second packet."""
    call = bench.call(Codec.OPUS)
    payloads = encode(Codec.OPUS, voice(16000, 2))
    bench.talk(call, payloads[:20])
    call.heard = []
    call.far.ssrc, call.far.sequence, call.far.timestamp = 0x1234, 65530, 7
    bench.talk(call, payloads[20:])
    assert len(call.sound) == (len(payloads) - 21) * 320
    assert likeness(call.sound[320:], voice(16000, 2)[320 * 22 :]) > 0.9
    assert bench.engine.stats(call.slot).bad == 1


def test_both_bands_in_one_tick(bench: Bench) -> None:
    calls = [bench.call(codec) for codec in (Codec.G722, Codec.PCMA, Codec.OPUS)]
    streams = [encode(call.codec, voice(FORMATS[call.codec].rate, 1)) for call in calls]
    for call in calls:
        call.play(voice(8000, 1), 8000)
    for payloads in zip(*streams, strict=True):
        for call, payload in zip(calls, payloads, strict=True):
            call.say(payload)
        bench.ticks()
    for call in calls:
        rate = FORMATS[call.codec].rate
        assert likeness(call.sound, voice(rate, 1)) > 0.95
        assert likeness(decode(call.codec, call.got), voice(rate, 1)) > 0.93


def test_calls_with_and_without_a_coder_in_one_band(bench: Bench) -> None:
    """A narrow call that has changed to G.722 or Opus is decoded for itself, the others all at once."""
    calls = [bench.call(), bench.call(), bench.call(Codec.PCMA)]
    calls[0].connect(Codec.G722)
    calls[2].connect(Codec.OPUS)
    streams = [encode(call.codec, voice(FORMATS[call.codec].rate, 1)) for call in calls]
    for call in calls:
        call.play(voice(8000, 1), 8000)
    for number in range(50):
        for call, payloads in zip(calls, streams, strict=True):
            if number in (20, 30 + call.slot):
                call.lose()
            else:
                call.say(payloads[number])
        bench.ticks()
    bench.ticks(2)
    for call in calls:
        assert len(call.sound) == 8000
        assert likeness(call.sound, voice(8000, 1)) > 0.93
        assert likeness(decode(call.codec, call.got), voice(FORMATS[call.codec].rate, 1)) > 0.93
        assert bench.engine.stats(call.slot).lost == 2


def test_a_header_with_extension_in_front_of_a_long_payload(bench: Bench) -> None:
    call = bench.call(Codec.PCMU16)
    payload = encode(Codec.PCMU16, voice(16000, 0.04))[0]
    header = HEADER.pack(0x90, PAYLOAD_TYPES[Codec.PCMU16], 5, 6, 7)
    call.far.send_raw(header + b"\xbe\xde\x00\x01abcd" + payload)
    bench.ticks()
    assert len(call.sound) == 320
    assert likeness(call.sound, voice(16000, 0.04)[:320]) > 0.98

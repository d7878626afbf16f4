"""Noise suppression: less noise, the same speech, nobody else's audio touched."""

import numpy as np
import pytest

from media.engine.arrays import Pcm
from media.engine.denoise import Denoiser
from tests.support import speech

CAPACITY = 3
SECONDS = 6


def noise(rate: int, seed: int = 1) -> Pcm:
    return (np.random.default_rng(seed).standard_normal(rate * SECONDS) * 300).astype(np.int16)


def through(rate: int, pcm: Pcm, slot: int = 1) -> Pcm:
    """What a slot is left with."""
    denoiser = Denoiser(CAPACITY, rate)
    denoiser.enable(slot)
    frames: Pcm = np.zeros((CAPACITY, 2, denoiser.frame), np.int16)
    fresh = np.full(CAPACITY, 1, np.uint8)
    out = []
    for start in range(0, len(pcm) - denoiser.frame + 1, denoiser.frame):
        frames[:, 0] = frames[:, 1] = pcm[start : start + denoiser.frame]
        denoiser.run(frames, fresh)
        others = np.arange(CAPACITY) != slot
        assert (frames[others, 0] == pcm[start : start + denoiser.frame]).all()
        assert (frames[slot, 1] == pcm[start : start + denoiser.frame]).all()
        out.append(frames[slot, 0].copy())
    return np.concatenate(out)


def loudness(pcm: Pcm) -> float:
    return float(20 * np.log10(max(pcm.astype(float).std(), 1.0)))


@pytest.mark.parametrize("rate", [8000, 16000])
def test_noise_is_less(rate: int) -> None:
    pcm = noise(rate)
    clean = through(rate, pcm)
    assert loudness(pcm[-rate:]) - loudness(clean[-rate:]) > 8


@pytest.mark.parametrize(("rate", "late"), [(8000, 75), (16000, 96)])
def test_speech_stays_and_is_so_late(rate: int, late: int) -> None:
    said = speech.render("Good morning to you all, is anybody there")
    if rate == 16000:
        said = np.interp(np.arange(2 * len(said)) / 2, np.arange(len(said)), said)
    # It learns what noise is in the first second.
    pcm = (np.pad(said, rate) * 20000 + noise(rate)[: len(said) + 2 * rate] / 30).astype(np.int16)
    clean = through(rate, pcm)[rate:]
    told = pcm[rate:-rate].astype(float)
    alike = [float(np.corrcoef(told, clean[shift : shift + len(told)])[0, 1]) for shift in range(200)]
    assert int(np.argmax(alike)) == late
    assert max(alike) > 0.9


def test_two_frames_of_a_tick_are_two_frames_of_two_ticks() -> None:
    pcm = noise(8000).reshape(-1, 160)
    one, two = Denoiser(1, 8000), Denoiser(1, 8000)
    singly, doubly = [], []
    for denoiser in (one, two):
        denoiser.enable(0)
    for first, second in zip(pcm[0::2], pcm[1::2], strict=True):
        for frame in (first, second):
            frames: Pcm = np.stack([frame, frame])[None]
            one.run(frames, np.array([1], np.uint8))
            singly.append(frames[0, 0])
        frames = np.stack([first, second])[None]
        two.run(frames, np.array([2], np.uint8))
        doubly.extend(frames[0])
    np.testing.assert_array_equal(singly, doubly)


def test_a_slot_begins_anew_when_enabled_again_and_only_then() -> None:
    denoiser = Denoiser(CAPACITY, 8000)
    pcm = noise(8000).reshape(-1, 160)[:50]

    def play() -> list[Pcm]:
        out = []
        for frame in pcm:
            frames: Pcm = np.broadcast_to(frame, (CAPACITY, 2, 160)).copy()
            denoiser.run(frames, np.array([0, 0, 1], np.uint8))
            out.append(frames[2, 0])
        return out

    denoiser.enable(2)
    denoiser.enable(0)
    first = play()
    denoiser.enable(2)
    assert any((a != b).any() for a, b in zip(first, play(), strict=True))
    denoiser.disable(2)
    denoiser.disable(2)
    assert denoiser.slots.tolist() == [0]
    np.testing.assert_array_equal(play(), pcm)
    denoiser.enable(2)
    np.testing.assert_array_equal(play(), first)

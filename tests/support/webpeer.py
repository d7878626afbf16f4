"""A WebRTC peer with a tone for a microphone, and the socket of a media slot that speaks the same codecs."""

import asyncio
import fractions
import itertools
import math
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack

from control.rtpengine.stream import Stream
from media.engine.arrays import Pcm
from media.engine.codecs.registry import make_coder
from media.engine.stream import FORMATS, Codec
from tests.support.ports import Address
from tests.support.rtpcap import DIGITS, RtpPeer

RATE = 48000
SLOT_RATE = 16000
FRAME_SECONDS = 0.02
WINDOW_SECONDS = 0.2
LOUD = 1000
"""Root mean square of int16 above which a window is sound."""


def pitch(pcm: Pcm, rate: int) -> float:
    """Hz of the loudest partial of the last 200 ms; 0 when they are not there yet or silent."""
    window = pcm[-int(rate * WINDOW_SECONDS) :].astype(np.float64)
    if len(window) < rate * WINDOW_SECONDS or math.sqrt(float(np.mean(window**2))) < LOUD:
        return 0.0
    spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window))))
    return float(np.argmax(spectrum) / WINDOW_SECONDS)


def tone(frequency: float, rate: int, start: int, samples: int) -> Pcm:
    """Part of an endless tone, int16."""
    return (9000 * np.sin(2 * np.pi * frequency * np.arange(start, start + samples) / rate)).astype(np.int16)


class Microphone(AudioStreamTrack):
    """An endless tone in real time."""

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self._frequency = frequency
        self._sent = 0
        self._began = time.monotonic()

    async def recv(self) -> av.AudioFrame:
        samples = int(RATE * FRAME_SECONDS)
        await asyncio.sleep(max(0.0, self._began + self._sent / RATE - time.monotonic()))
        frame = av.AudioFrame.from_ndarray(
            tone(self._frequency, RATE, self._sent, samples)[None], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, fractions.Fraction(1, RATE)
        self._sent += samples
        return frame


class WebPeer:
    """A browser in all but name; open it by `web_peer`."""

    def __init__(self, frequency: float) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.heard: Pcm = np.zeros(0, np.int16)
        self._rate = RATE
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._sender = self.connection.addTrack(Microphone(frequency))
        self.connection.on("track", self._track)

    def _track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._listening = asyncio.create_task(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            pcm = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
            self.heard = np.concatenate([self.heard, pcm])[-RATE:]
            self._rate = frame.sample_rate
            self._news.set()

    async def offer(self) -> str:
        """The complete description for the other side."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def accept(self, sdp: str) -> None:
        """Take the answer."""
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def hears(self, frequency: float) -> None:
        """Wait until a tone within 10 Hz of `frequency` is heard."""
        while not self.heard.size or abs(pitch(self.heard, self._rate) - frequency) > 10:
            self._news.clear()
            await self._news.wait()

    async def press(self, digit: str, payload_type: int) -> bytes:
        """Send the end of a key press (RFC 4733) past the codecs of the library; its payload."""
        body = struct.pack("!BBH", DIGITS.index(digit), 0x80 | 10, 4800)
        header = struct.pack("!BBHII", 0x80, payload_type, 1, 1, 0xD161)
        await self._sender.transport._send_rtp(header + body)
        return body

    async def close(self) -> None:
        """Leave without a word to anybody but the DTLS peer."""
        await self.connection.close()
        if self._listening is not None:
            await self._listening


@asynccontextmanager
async def web_peer(host: str, frequency: float) -> AsyncIterator[WebPeer]:
    """A peer that has no address but `host` while the block runs."""
    with patch("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [host]):
        peer = WebPeer(frequency)
        try:
            yield peer
        finally:
            await peer.close()


class SlotVoice:
    """A tone from the slot's socket, and what that socket hears; open it by `slot_voice`."""

    def __init__(self, slot: RtpPeer, stream: Stream, frequency: float) -> None:
        codec = Codec(stream.codec)
        sending, receiving = make_coder(codec, SLOT_RATE), make_coder(codec, SLOT_RATE)
        assert sending is not None
        assert receiving is not None
        self._encode, self._decode = sending.encode, receiving.decode
        self._step = round(FORMATS[codec].clock * FRAME_SECONDS)
        self._slot, self._stream, self._frequency = slot, stream, frequency
        self._heard: Pcm = np.zeros(0, np.int16)
        self._taken = 0
        slot.remote = Address(stream.address, stream.port)

    async def speak(self) -> None:
        """Send until cancelled."""
        samples = int(SLOT_RATE * FRAME_SECONDS)
        began = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, began + number * FRAME_SECONDS - time.monotonic()))
            packet = self._encode(tone(self._frequency, SLOT_RATE, number * samples, samples))
            self._slot.send(packet, self._stream.payload_type)
            self._slot.timestamp += self._step

    async def hears(self, frequency: float) -> None:
        """Wait until a tone within 10 Hz of `frequency` is heard from the stream's port."""
        source, kind = Address(self._stream.address, self._stream.port), self._stream.payload_type
        while abs(pitch(self._heard, SLOT_RATE) - frequency) > 10:
            self._taken = 1 + await self._slot.packet(
                lambda packet: packet.source == source and packet.payload_type == kind, self._taken
            )
            pcm = self._decode(self._slot.packets[self._taken - 1].payload)
            self._heard = np.concatenate([self._heard, pcm])[-SLOT_RATE:]


@asynccontextmanager
async def slot_voice(slot: RtpPeer, stream: Stream, frequency: float) -> AsyncIterator[SlotVoice]:
    """Speak into the call while the block runs."""
    voice = SlotVoice(slot, stream, frequency)
    speaking = asyncio.create_task(voice.speak())
    try:
        yield voice
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)

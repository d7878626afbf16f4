"""The caller of a ``/call`` socket: a tone into it, and what comes back by its pitch."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import numpy as np

from tests.support.bot import PATIENCE, Bot
from tests.support.poll import until
from tests.support.rtpcap import FRAME_SECONDS
from tests.support.webpeer import pitch, tone

RATE = 16_000


class SocketVoice:
    """s16le at 16 kHz both ways; open it by `socket_voice`."""

    def __init__(self, bot: Bot, frequency: float) -> None:
        self._bot, self._frequency = bot, frequency

    async def speak(self) -> None:
        """Send the tone until cancelled."""
        loop = asyncio.get_running_loop()
        began, samples = loop.time(), int(RATE * FRAME_SECONDS)
        for number in itertools.count():
            await self._bot.socket.send_bytes(
                tone(self._frequency, RATE, number * samples, samples).tobytes()
            )
            await asyncio.sleep(max(0.0, began + (number + 1) * FRAME_SECONDS - loop.time()))

    async def hears(self, frequency: float) -> None:
        """Wait until the last 200 ms are a tone within 10 Hz of `frequency`; 0: are silent."""

        async def heard() -> bool:
            pcm = np.frombuffer(b"".join(self._bot.audio[-12:]), "<i2").astype(np.int16)
            return abs(pitch(pcm, RATE) - frequency) <= 10

        await until(heard, PATIENCE)


@asynccontextmanager
async def socket_voice(bot: Bot, frequency: float) -> AsyncIterator[SocketVoice]:
    """Speak into the call while the block runs."""
    voice = SocketVoice(bot, frequency)
    speaking = asyncio.create_task(voice.speak(), name="socket voice")
    try:
        yield voice
    finally:
        speaking.cancel()
        with suppress(asyncio.CancelledError, aiohttp.ClientConnectionResetError):
            await speaking

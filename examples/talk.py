"""Talk over a WebSocket, without any telephone: a WAV file in, what the other side says out. Needs only aiohttp.

python examples/talk.py question.wav answer.wav "What can I do for you?"
"""

import asyncio
import os
import sys
import wave

import aiohttp

URL = os.environ.get("SIDECALL_URL", "ws://127.0.0.1:8080") + "/call"
HEADERS = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("SIDECALL_TOKEN")) else {}
RATE = 16_000
FRAME = RATE // 50
"""Samples of 20 ms."""


async def speak(bot: aiohttp.ClientWebSocketResponse, sound: wave.Wave_read) -> None:
    """Send the file as a microphone would, then hang up."""
    while data := sound.readframes(FRAME):
        await bot.send_bytes(data)
        await asyncio.sleep(FRAME / RATE)
    await bot.send_json({"command": "hangup"})


async def talk(said: wave.Wave_read, heard: wave.Wave_write, text: str) -> None:
    """Let the session speak `text` and listen to the file; keep what comes back."""
    async with aiohttp.ClientSession() as http, http.ws_connect(URL, headers=HEADERS) as bot:
        await bot.send_json({"command": "invite", "option": {"codec": "pcm", "vad": {}}})
        speaking: asyncio.Task[None] | None = None
        async for message in bot:
            if message.type is aiohttp.WSMsgType.BINARY:
                heard.writeframes(message.data)
                continue
            event = message.json()
            print(event["event"], event.get("error") or event.get("reason") or "", flush=True)
            if event["event"] == "answer":
                await bot.send_json({"command": "tts", "text": text})
                speaking = asyncio.create_task(speak(bot, said))
        if speaking is not None:
            speaking.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} SAID.wav HEARD.wav TEXT")
    with wave.open(sys.argv[1], "rb") as said_file, wave.open(sys.argv[2], "wb") as heard_file:
        if (said_file.getnchannels(), said_file.getsampwidth(), said_file.getframerate()) != (1, 2, RATE):
            sys.exit(f"{sys.argv[1]} must be mono, 16 bits, {RATE} Hz")
        heard_file.setnchannels(1)
        heard_file.setsampwidth(2)
        heard_file.setframerate(RATE)
        asyncio.run(talk(said_file, heard_file, sys.argv[3]))

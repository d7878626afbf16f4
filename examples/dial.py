"""Dial a number, read a message, hang up. Needs only aiohttp.

python examples/dial.py sip:alice@192.0.2.10 "Your table is ready."
"""

import asyncio
import os
import sys

import aiohttp

URL = os.environ.get("SIDECALL_URL", "ws://127.0.0.1:8080") + "/call/sip"
HEADERS = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("SIDECALL_TOKEN")) else {}


async def dial(callee: str, text: str) -> bool:
    """Call `callee` and read `text`; whether the call was answered."""
    answered = False
    async with aiohttp.ClientSession() as http, http.ws_connect(URL, headers=HEADERS) as bot:
        await bot.send_json({"command": "invite", "option": {"callee": callee}})
        async for message in bot:
            event = message.json()
            print(event["event"], event.get("reason") or event.get("error") or "", flush=True)
            if event["event"] == "answer":
                answered = True
                await bot.send_json({"command": "tts", "text": text, "autoHangup": True})
    return answered


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} CALLEE TEXT")
    sys.exit(0 if asyncio.run(dial(sys.argv[1], sys.argv[2])) else 1)

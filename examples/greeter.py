"""The greeter: answers calls, says hello, repeats every key, and hangs up on '#'. Needs only aiohttp."""

import asyncio
import contextlib
import os
import sys

import aiohttp

URL = os.environ.get("SIDECALL_URL", "ws://127.0.0.1:8080") + "/call/sip?route=default"
HEADERS = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("SIDECALL_TOKEN")) else {}
GREETING = (
    "Hello, this is the Sidecall greeter. Press any key and I will repeat it. Press the hash key to hang up."
)
WAITING_BOTS = 4


async def answer_one_call(http: aiohttp.ClientSession) -> None:
    """Wait for a call and talk until it ends."""
    async with http.ws_connect(URL, headers=HEADERS) as bot:
        async for message in bot:
            event = message.json()
            match event["event"]:
                case "incoming":
                    print(f"call from {event['caller']}", flush=True)
                    await bot.send_json({"command": "accept", "option": {}})
                case "answer":
                    await bot.send_json({"command": "tts", "text": GREETING, "playId": "greeting"})
                case "dtmf" if event["digit"] == "#":
                    await bot.send_json({"command": "hangup", "reason": "hash pressed"})
                case "dtmf":
                    digit = event["digit"]
                    await bot.send_json(
                        {"command": "tts", "text": f"You pressed {digit}.", "playId": f"key {digit}"}
                    )
                case "hangup":
                    print(f"call ended: {event['reason']}", flush=True)
                case "error":
                    print(f"error: {event['error']}", file=sys.stderr, flush=True)


async def wait_for_calls(http: aiohttp.ClientSession) -> None:
    """Take one call after the other; try again every second while Sidecall is away."""
    while True:
        try:
            await answer_one_call(http)
        except aiohttp.ClientError as error:
            print(f"{URL}: {error}; trying again", file=sys.stderr, flush=True)
            await asyncio.sleep(1)


async def main() -> None:
    """Serve several calls at once."""
    async with aiohttp.ClientSession() as http:
        print(f"waiting for calls at {URL}", flush=True)
        await asyncio.gather(*(wait_for_calls(http) for _ in range(WAITING_BOTS)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

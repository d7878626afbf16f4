"""Options that no other test proves by what they do."""

from typing import Any

import aiohttp
import numpy as np
import pytest

from control.api import models
from control.config import Api
from media.api.calltype import CallType
from tests.support import wav
from tests.support.apiport import TOKEN, serving
from tests.support.sessions import TARGET, House, idle

HISS = wav.encode_pcmu(np.random.default_rng(1).normal(0, 0.05, 8000 * 4))
TO_US = 1
"""First byte of a frame of what the far end says (``subscribe``)."""


async def loudness(house: House, **option: Any) -> float:
    """How loud the hiss of a caller is that the bot hears, once the call is a while old."""
    guest = house.guest(f"s.{len(house.guests)}")
    await guest.do("invite", option={"callee": "sip:bob@example.com", "subscribe": True, **option})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    for start in range(0, len(HISS), 160):
        house.far.send(HISS[start : start + 160])
        house.tick()
    frames = [frame[1:] for frame in guest.box.audio if frame[0] == TO_US]
    await guest.leave()
    return wav.rms(np.frombuffer(b"".join(frames[-50:]), "<i2") / 32768)


async def test_noise_is_taken_out_when_asked_for(house: House) -> None:
    assert await loudness(house, denoise=True) < 0.5 * await loudness(house)


@pytest.mark.parametrize("wanted", [True, False])
async def test_noise_of_the_target_is_taken_out_when_asked_for(
    house: House, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    house.control.answers[models.Invite] = models.Invited(leg=TARGET, caller="", callee="")
    guest = house.guest(call_type=CallType.WEBSOCKET)
    await guest.do("invite", option={})
    await guest.do("refer", caller="", callee="sip:c@example.com", options={"denoise": wanted})
    transfer = guest.session.transfer
    assert transfer is not None
    asked: list[tuple[int, bool]] = []
    monkeypatch.setattr(house.services.engine, "denoise", lambda slot, *, on: asked.append((slot, on)))
    guest.tell(models.Answered, TARGET, stream=house.stream(), sdp="v=0")
    assert asked == [(transfer.slot, wanted)]


async def test_headers_of_the_bye(house: House) -> None:
    guest = house.guest()
    sip = {"hangup_headers": {"X-Call": "1", "X-Both": "call"}}
    await guest.do("invite", option={"callee": "sip:bob@example.com", "sip": sip})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    await guest.do("hangup", headers={"X-Both": "command"})
    await idle()
    assert house.control.last(models.Hangup).headers == {"X-Call": "1", "X-Both": "command"}


@pytest.mark.parametrize("path", ["/call", "/call/webrtc", "/call/sip"])
async def test_token_in_the_query_lets_in(path: str) -> None:
    async with serving(Api(tokens=(TOKEN,))) as port:
        async with port.http.ws_connect(f"{path}?token={TOKEN}") as bot:
            assert not bot.closed
        for query in ("", "?token=", "?token=wrong"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await port.http.ws_connect(f"{path}{query}")
            assert refused.value.status == 401

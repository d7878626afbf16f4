"""Transfers in a world of fakes: asking for them, and what they leave."""

from typing import Any

import pytest

from control.api import models
from control.errors import LegError, NgError
from control.rtpengine.stream import Stream
from tests.support.callworld import World

DOWN = NgError("rtpengine did not answer")


def refer(leg: str, session: str = "s1", **options: Any) -> models.Refer:
    parts: dict[str, Any] = {"callee": "sip:bob@127.0.0.9"}
    return models.Refer(leg=leg, session=session, **parts | options)


async def refusal(request: Any) -> LegError:
    with pytest.raises(LegError) as caught:
        await request
    return caught.value


async def stream_of(one: World, leg: str) -> Stream:
    """What the bot is told of the media of `leg`, and of nothing else."""
    changed = await one.worker.next(models.MediaChanged)
    assert (changed.leg, changed.session) == (leg, "s1")
    return changed.stream


async def returned(one: World, leg: str, party: str) -> models.Ended:
    """The peer of `leg` is back at the bot, then the party's leg ended; rtpengine keeps nothing of it."""
    stream = await stream_of(one, leg)
    assert (stream.direction, stream.port, stream.source_port) == ("sendrecv", 21000, 0)
    ended = await one.worker.next(models.Ended)
    assert (ended.leg, ended.session) == (party, "s1")
    await one.settle()
    assert one.worker.silent
    assert [leg.id for leg in one.service.legs] == [leg]
    assert set(one.ng.sides[leg]) == {"peer", "bot"}
    assert one.ng.blocked == set()
    return ended


async def nothing_left(one: World) -> None:
    await one.settle()
    assert one.worker.silent
    assert len(one.service.legs) == 0
    assert one.ng.calls == set()

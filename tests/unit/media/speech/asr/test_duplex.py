"""Both directions of a connection in one generator: order, errors of either side, and that nothing stays behind."""

import asyncio
from contextlib import aclosing

import aiohttp
import pytest

from control.errors import ProviderError
from media.speech.asr import duplex as module
from media.speech.asr.duplex import duplex


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0)


class Side:
    """One direction that waits to be told; it knows whether it was cancelled."""

    def __init__(self) -> None:
        self.orders: asyncio.Queue[str | Exception] = asyncio.Queue()
        self.calls = 0
        self.began = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> str:
        self.calls += 1
        self.began.set()
        try:
            order = await self.orders.get()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(order, Exception):
            raise order
        return order


class Sender(Side):
    async def send(self) -> None:
        await self()


async def test_messages_come_in_order_while_audio_is_sent() -> None:
    sender, receiver = Sender(), Side()
    async with aclosing(duplex("acme", sender.send, receiver)) as messages:
        for text in ("one", "two"):
            receiver.orders.put_nowait(text)
            assert await anext(messages) == text
            assert sender.calls == 1
    assert sender.cancelled


async def test_both_sides_run_at_the_same_time() -> None:
    there: asyncio.Queue[str] = asyncio.Queue()

    async def send() -> None:
        there.put_nowait("echo")

    async with aclosing(duplex("acme", send, there.get)) as messages:
        assert await anext(messages) == "echo"


async def test_receiving_goes_on_when_all_is_sent() -> None:
    sender, receiver = Sender(), Side()
    async with aclosing(duplex("acme", sender.send, receiver)) as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await sender.began.wait()
        sender.orders.put_nowait("done")
        await receiver.began.wait()
        receiver.orders.put_nowait("one")
        assert await waiting == "one"
        receiver.orders.put_nowait("two")
        assert await anext(messages) == "two"
    assert not sender.cancelled


async def test_nothing_is_received_before_the_last_message_was_taken() -> None:
    sender, receiver = Sender(), Side()
    async with aclosing(duplex("acme", sender.send, receiver)) as messages:
        receiver.orders.put_nowait("one")
        receiver.orders.put_nowait("two")
        assert await anext(messages) == "one"
        assert receiver.calls == 1
        assert receiver.orders.qsize() == 1


async def test_a_generator_that_is_never_begun_runs_nothing() -> None:
    sender, receiver = Sender(), Side()
    await duplex("acme", sender.send, receiver).aclose()
    assert (sender.calls, receiver.calls) == (0, 0)


async def test_closing_it_between_messages_ends_the_sender() -> None:
    sender, receiver = Sender(), Side()
    messages = duplex("acme", sender.send, receiver)
    receiver.orders.put_nowait("one")
    await anext(messages)
    await messages.aclose()
    assert sender.cancelled


async def test_cancelling_who_waits_for_a_message_ends_both() -> None:
    sender, receiver = Sender(), Side()

    async def consume() -> None:
        async with aclosing(duplex("acme", sender.send, receiver)) as messages:
            async for _ in messages:
                pass

    task = asyncio.create_task(consume())
    await sender.began.wait()
    await receiver.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sender.cancelled
    assert receiver.cancelled


async def test_a_sender_that_cleans_up_slowly_is_waited_for() -> None:
    cleaned = False

    async def send() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    receiver = Side()
    messages = duplex("acme", send, receiver)
    receiver.orders.put_nowait("one")
    await anext(messages)
    await messages.aclose()
    assert cleaned


async def test_what_the_receiver_raises_comes_out_while_audio_is_sent() -> None:
    sender, receiver = Sender(), Side()
    receiver.orders.put_nowait(ProviderError("acme: closed", 502))
    with pytest.raises(ProviderError, match="acme: closed"):
        await anext(duplex("acme", sender.send, receiver))
    assert sender.cancelled


@pytest.mark.usefixtures("no_grace")
async def test_what_the_sender_raises_comes_out_while_nothing_is_received() -> None:
    sender, receiver = Sender(), Side()
    sender.orders.put_nowait(ProviderError("acme: it reads nothing", 504))
    with pytest.raises(ProviderError, match="reads nothing") as caught:
        await anext(duplex("acme", sender.send, receiver))
    assert caught.value.code == 504
    assert receiver.cancelled


@pytest.mark.usefixtures("no_grace")
async def test_a_sender_that_failed_meanwhile_is_told_at_the_next_message() -> None:
    sender, receiver = Sender(), Side()
    messages = duplex("acme", sender.send, receiver)
    receiver.orders.put_nowait("one")
    await anext(messages)
    sender.orders.put_nowait(ProviderError("acme: gone"))
    with pytest.raises(ProviderError, match="gone"):
        await anext(messages)


async def test_the_words_of_the_provider_win_over_the_broken_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 3600)
    sender, receiver = Sender(), Side()
    messages = duplex("acme", sender.send, receiver)
    sender.orders.put_nowait(ProviderError("acme: the connection is closed"))
    receiver.orders.put_nowait("last result")
    assert await anext(messages) == "last result"
    receiver.orders.put_nowait(ProviderError("acme: the key is wrong", 401, retry=False))
    with pytest.raises(ProviderError, match="key is wrong") as caught:
        await anext(messages)
    assert not caught.value.retry


@pytest.mark.parametrize("error", [ConnectionResetError(), aiohttp.ClientConnectionResetError("x")])
@pytest.mark.usefixtures("no_grace")
async def test_failures_of_the_connection_are_errors_of_the_provider(error: Exception) -> None:
    for fails in ("sender", "receiver"):
        sender, receiver = Sender(), Side()
        (sender if fails == "sender" else receiver).orders.put_nowait(error)
        with pytest.raises(ProviderError, match="acme: the connection broke") as caught:
            await anext(duplex("acme", sender.send, receiver))
        assert caught.value.__cause__ is error


@pytest.mark.parametrize("fails", ["sender", "receiver"])
async def test_a_fault_of_ours_is_not_blamed_on_the_provider(fails: str) -> None:
    sender, receiver = Sender(), Side()
    (sender if fails == "sender" else receiver).orders.put_nowait(KeyError("bug"))
    with pytest.raises(KeyError):
        await anext(duplex("acme", sender.send, receiver))


async def test_an_error_of_the_sender_after_the_last_message_is_of_no_interest() -> None:
    sender, receiver = Sender(), Side()
    messages = duplex("acme", sender.send, receiver)
    receiver.orders.put_nowait("last")
    await anext(messages)
    sender.orders.put_nowait(KeyError("late"))
    await messages.aclose()
    assert sender.calls == 1

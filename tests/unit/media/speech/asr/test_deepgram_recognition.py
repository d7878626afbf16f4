"""Recognition by Deepgram against its fake: parameters, texts, pauses, ends, and everything that can go wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech import link
from media.speech.asr import deepgram as module
from media.speech.asr.base import Heard
from media.speech.asr.deepgram import Deepgram, Quiet
from media.speech.provider import Context
from tests.support import poll
from tests.support.clouds.base import Fault, Stage, Trouble
from tests.support.clouds.deepgram import KEY, DeepgramCloud

RATE = 16_000


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynccontextmanager
async def provided(**cloud: Any) -> AsyncIterator[tuple[DeepgramCloud, Deepgram]]:
    """The fake, and the provider; at the end no connection is open, and the fake has no complaint."""
    async with DeepgramCloud(**cloud) as fake, aiohttp.ClientSession() as http:
        provider = Deepgram(Context(http, Path()))
        yield fake, provider
        assert http.connector is not None
        assert not http.connector._acquired
        await provider.close()
    assert fake.complaints == []


def option(fake: DeepgramCloud, **fields: Any) -> TranscriptionOption:
    return TranscriptionOption(**{"secret_key": KEY, "endpoint": fake.ws_url, **fields})


def sound(*ms: int, rate: int = RATE) -> bytes:
    """Loud audio and silence in turns, each so long."""
    parts = [
        np.full(length * rate // 1000, 8000 * (at % 2 == 0), "<i2").tobytes() for at, length in enumerate(ms)
    ]
    return b"".join(parts)


async def pieces(pcm: bytes, *, rate: int = RATE, then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """`pcm` in pieces of 40 ms; then, `then` is waited for."""
    size = rate * 40 // 1000 * 2
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]
        await asyncio.sleep(0)
    if then is not None:
        await then.wait()


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await poll.until(holds, 20, 0.005)


async def recognised(
    provider: Deepgram, wanted: TranscriptionOption, audio: AsyncIterator[bytes]
) -> list[Heard]:
    async with aclosing(provider.recognise(wanted, audio)) as heard:
        return [text async for text in heard]


async def test_utterances_have_deltas_a_final_text_an_index_and_times() -> None:
    pcm = sound(400, 400, 800, 400)
    async with provided() as (fake, provider):
        found = await recognised(provider, option(fake), pieces(pcm))
    assert [(heard.index, heard.text, heard.final) for heard in found] == [
        (0, "hello", False),
        (0, "hello there", True),
        (1, "I", False),
        (1, "I would like", False),
        (1, "I would like to book a table", True),
    ]
    assert [(heard.start, heard.end) for heard in found if heard.final] == [(0, 400), (800, 1600)]
    assert found[1].confidence == pytest.approx(0.99)
    assert found[0].task == found[1].task is not None
    assert bytes(fake.heard[0]) == pcm
    assert fake.controls == ["CloseStream"]


async def test_the_end_of_the_audio_brings_the_rest() -> None:
    async with provided() as (fake, provider):
        found = await recognised(provider, option(fake), pieces(sound(300)))
    assert [(heard.text, heard.final) for heard in found] == [("hello", False), ("hello there", True)]


async def test_silence_brings_nothing() -> None:
    async with provided() as (fake, provider):
        assert await recognised(provider, option(fake), pieces(sound(0, 2500))) == []
        assert await recognised(provider, option(fake), pieces(b"")) == []


async def test_noise_delays_the_final_text_but_does_not_keep_it_away() -> None:
    async with provided(noisy=True) as (fake, provider):
        found = await recognised(provider, option(fake), pieces(sound(400, 400, 400)))
    assert [(heard.index, heard.text) for heard in found if heard.final] == [
        (0, "hello there"),
        (1, found[-1].text),
    ]


async def test_it_asks_for_what_it_needs() -> None:
    async with provided() as (fake, provider):
        await recognised(provider, option(fake), pieces(b""))
    assert dict(fake.queries[0]) == {
        "model": "nova-3",
        "encoding": "linear16",
        "sample_rate": "16000",
        "channels": "1",
        "interim_results": "true",
        "endpointing": "300",
        "utterance_end_ms": "1000",
        "smart_format": "true",
    }


async def test_options_and_extra_become_parameters() -> None:
    extra = {
        "endpointing": 500,
        "keyterm": ["Sidecall", "B2BUA"],
        "smart_format": False,
        "utterance_end_ms": None,
    }
    fields = {"model": "nova-2-phonecall", "language": "de", "samplerate": 8000, "extra": extra}
    async with provided() as (fake, provider):
        wanted = option(fake, **fields)
        provider.check(wanted)
        assert provider.rate(wanted) == 8000
        pcm = sound(400, 400, rate=8000)
        found = await recognised(provider, wanted, pieces(pcm, rate=8000))
    assert found[-1].end == 400
    query = fake.queries[0]
    assert [value for name, value in query if name == "keyterm"] == ["Sidecall", "B2BUA"]
    plain = {name: value for name, value in query if name != "keyterm"}
    assert "utterance_end_ms" not in plain
    assert plain["endpointing"] == "500"
    assert (plain["model"], plain["language"], plain["sample_rate"]) == ("nova-2-phonecall", "de", "8000")
    assert plain["smart_format"] == "false"


@pytest.mark.parametrize("off", [False, "false"])
async def test_without_interim_results_no_gap_between_words_is_asked_for(off: object) -> None:
    async with provided() as (fake, provider):
        await recognised(provider, option(fake, extra={"interim_results": off}), pieces(b""))
    assert "utterance_end_ms" not in dict(fake.queries[0])


async def test_any_language_is_asked_for_as_multi() -> None:
    async with provided() as (fake, provider):
        await recognised(provider, option(fake, language="auto"), pieces(b""))
    assert dict(fake.queries[0])["language"] == "multi"


async def test_what_cannot_be_followed_is_refused_beforehand() -> None:
    async with provided() as (fake, provider):
        provider.check(option(fake))
        assert provider.rate(option(fake, samplerate=48_000)) == RATE
        for fields, code in (
            ({"secret_key": None}, 401),
            ({"model": "flux-general-en"}, 501),
            ({"endpoint": "ftp://x"}, 400),
            ({"extra": {"sample_rate": 44100}}, 400),
            ({"extra": {"keyterm": {}}}, 400),
        ):
            with pytest.raises(ProviderError) as caught:
                provider.check(option(fake, **fields))
            assert (caught.value.code, caught.value.retry) == (code, False)


async def test_a_wrong_key_is_told_in_the_words_of_deepgram() -> None:
    async with provided() as (fake, provider):
        with pytest.raises(ProviderError, match="deepgram: it answered 401: Invalid credentials") as caught:
            await recognised(provider, option(fake, secret_key="wrong-key"), pieces(sound(200)))
    assert (caught.value.code, caught.value.retry) == (401, False)
    assert "wrong-key" not in str(caught.value)


async def test_a_refused_parameter_is_told_in_the_words_of_deepgram() -> None:
    async with DeepgramCloud() as fake, aiohttp.ClientSession() as http:
        provider = Deepgram(Context(http, Path()))
        with pytest.raises(ProviderError, match="No such model/language/tier") as caught:
            await recognised(provider, option(fake, model="supernova"), pieces(sound(200)))
    assert (caught.value.code, caught.value.retry) == (400, False)


async def test_a_pause_in_the_audio_settles_what_was_said_and_keeps_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(module, "KEEP_ALIVE_SECONDS", 0.02)
    more = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield sound(300)
        await more.wait()

    async with (
        provided() as (fake, provider),
        aclosing(provider.recognise(option(fake), audio())) as heard,
    ):
        assert [(await anext(heard)).text, (await anext(heard)).final] == ["hello", True]
        await until(lambda: "KeepAlive" in fake.controls)
        more.set()
        assert [text async for text in heard] == []
    assert fake.controls[0] == "Finalize"
    assert fake.controls.count("Finalize") == 1
    assert fake.controls[-1] == "CloseStream"


async def test_empty_pieces_are_not_sent() -> None:
    async def audio() -> AsyncIterator[bytes]:
        for piece in (b"", sound(200), b""):
            yield piece

    async with provided() as (fake, provider):
        assert (await recognised(provider, option(fake), audio()))[-1].final


@pytest.mark.parametrize("after", [0, 1, 3, 5])
async def test_closing_it_anywhere_leaves_nothing(after: int) -> None:
    async with provided() as (fake, provider):
        audio = pieces(sound(400, 400, 800, 400), then=asyncio.Event())
        heard = provider.recognise(option(fake), audio)
        for _ in range(after):
            await anext(heard)
        await heard.aclose()


@pytest.mark.parametrize(
    "trouble", [None, Trouble(Fault.STALL, Stage.CONNECT), Trouble(Fault.STALL, Stage.BEGIN)]
)
async def test_cancelling_who_waits_leaves_nothing(trouble: Trouble | None) -> None:
    async with provided() as (fake, provider):
        if trouble is not None:
            fake.trouble.append(trouble)
        audio = pieces(b"", then=asyncio.Event())
        task = asyncio.create_task(recognised(provider, option(fake), audio))
        await until(lambda: fake.connections > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_two_calls_do_not_disturb_each_other() -> None:
    async with provided(delay=0.01) as (fake, provider):
        one, two = await asyncio.gather(
            recognised(provider, option(fake), pieces(sound(400, 400))),
            recognised(provider, option(fake), pieces(sound(800))),
        )
    assert one[-1].final
    assert two[-1].final
    assert one[-1].task != two[-1].task


def struck(fault: Fault, stage: Stage) -> list[Trouble]:
    """aiohttp asks a second time, at once, when a connection is reset before the answer."""
    return [Trouble(fault, stage)] * (2 if (fault, stage) == (Fault.CUT, Stage.CONNECT) else 1)


RESULTS = {
    (Fault.REFUSE, Stage.CONNECT): (429, True, "429: Too many requests"),
    (Fault.REFUSE, Stage.BEGIN): (400, False, "closed .code 1008.: DATA-0000"),
    (Fault.REFUSE, Stage.MIDDLE): (502, True, "reports an error: InternalError"),
    (Fault.REFUSE, Stage.END): (502, True, "closed .code 1011.: NET-0000"),
    (Fault.GARBLE, Stage.CONNECT): (502, True, "broke"),
    (Fault.STALL, Stage.CONNECT): (504, True, "did not answer within"),
}
USUAL = {
    Fault.CUT: (502, True, "the connection"),
    Fault.STALL: (502, True, "the connection"),
    Fault.GARBLE: (502, True, "no JSON object"),
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("fault", Fault)
async def test_each_trouble_is_one_error(monkeypatch: pytest.MonkeyPatch, fault: Fault, stage: Stage) -> None:
    if fault is Fault.STALL:
        # A provider that stalls answers no ping.
        monkeypatch.setattr(link, "CONNECT_SECONDS", 0.2)
        monkeypatch.setattr(link, "PING_SECONDS", 0.2)
    code, retry, says = RESULTS.get((fault, stage)) or USUAL[fault]
    async with provided() as (fake, provider):
        fake.trouble.extend(struck(fault, stage))
        then = None if stage is Stage.END else asyncio.Event()
        with pytest.raises(ProviderError, match=says) as caught:
            await recognised(provider, option(fake), pieces(sound(400, 400), then=then))
        assert (caught.value.code, caught.value.retry) == (code, retry)
        assert str(caught.value).startswith("deepgram: ")
        monkeypatch.undo()
        again = await recognised(provider, option(fake), pieces(sound(400, 400)))
        assert again[-1].text == "hello there"


def test_quiet_tells_when_to_settle_and_when_to_keep_alive() -> None:
    quiet = Quiet(0)
    assert quiet.due(3.9) is None
    assert quiet.due(4.0) == module.KEEP_ALIVE
    quiet.audio(5.0)
    assert quiet.wait(5.0) == module.PAUSE_SECONDS
    assert quiet.due(5.4) is None
    assert quiet.due(5.5) == module.FINALIZE
    assert quiet.due(6.0) is None
    assert quiet.due(9.5) == module.KEEP_ALIVE

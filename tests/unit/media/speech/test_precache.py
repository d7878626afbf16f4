import json
from pathlib import Path

import pytest

from control.errors import CommandError, SpeechError
from media.api.commands import parse
from media.speech.cache import SpeechCache
from media.speech.precache import Precache
from media.store import Memory, Store
from tests.support.sessions import WORD, FakeTts


def command(**fields: object) -> bytes:
    return json.dumps({"command": "tts", **fields}).encode()


def cache(folder: Path, size: int = 1_000_000) -> SpeechCache:
    return SpeechCache(Store(folder, size) if size else None, Memory(size))


async def test_calls_find_it_in_the_cache(tmp_path: Path) -> None:
    tts, kept = FakeTts(), cache(tmp_path)
    precache = Precache(tts, kept)
    asked = parse(command(text="one two", option={"volume": 3}))
    assert await precache.fill(asked) == 2 * WORD * 1000 // 8000
    await kept.settle()
    assert [rate for _, _, rate in tts.asked] == [8000, 16_000]
    option = tts.asked[0][1]
    assert await kept.get(kept.key("fake", "one two", option, 8000)) is not None
    assert await precache.fill(asked) == 2 * WORD * 1000 // 8000
    assert len(tts.asked) == 2


async def test_a_name_stands_for_the_text(tmp_path: Path) -> None:
    tts, kept = FakeTts(), cache(tmp_path)
    await Precache(tts, kept).fill(parse(command(text="one", cacheKey="greeting")))
    await kept.settle()
    assert await kept.get(kept.key("fake", "another", None, 8000, "greeting")) is not None


@pytest.mark.parametrize(
    "body",
    [
        command(text="one", streaming=True),
        command(text="AAAA", base64=True),
        command(text=" "),
        b'{"command": "hangup"}',
    ],
)
async def test_what_is_never_cached(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        await Precache(FakeTts(), cache(tmp_path)).fill(parse(body))
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("body", "code"),
    [(command(text="one", option={"provider": "unknown"}), 501), (command(text="fail"), 500)],
)
async def test_what_cannot_be_made(tmp_path: Path, body: bytes, code: int) -> None:
    with pytest.raises(SpeechError) as caught:
        await Precache(FakeTts(), cache(tmp_path)).fill(parse(body))
    assert caught.value.code == code


async def test_without_a_cache(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cache_bytes") as caught:
        await Precache(FakeTts(), cache(tmp_path, 0)).fill(parse(command(text="one")))
    assert caught.value.code == 501


async def test_speech_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="longer than what is cached") as caught:
        await Precache(FakeTts(), cache(tmp_path, 20_000)).fill(parse(command(text="word " * 50)))
    assert caught.value.code == 413

"""The example of a provider in a package of its own: found by its entry points, and asked by the speech process."""

import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from control.config import Settings
from control.errors import SpeechError
from media.api.options import SynthesisOption, TranscriptionOption
from media.speech.catalogue import Catalogue, Kind
from media.speech.voice import Word
from tests.support.speechhub import Ears, hub

PACKAGE = Path(__file__).parents[3] / "examples" / "provider"
SECOND = b"\0\0" * 16_000


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package as an installer leaves it: its module, and its metadata beside."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text("utf-8"))["project"]
    place = tmp_path_factory.mktemp("site")
    (module,) = PACKAGE.glob("*.py")
    shutil.copy(module, place)
    metadata = place / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in those.items())
        for group, those in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points))
    sys.path.insert(0, str(place))
    yield
    sys.path.remove(str(place))
    sys.modules.pop("sidecall_example", None)


def test_the_catalogue_finds_it() -> None:
    assert "loudness" in entry_points(group="sidecall.asr").names
    entries = Catalogue(Settings(), {}).entries
    for kind, name in ((Kind.ASR, "loudness"), (Kind.TTS, "beeps")):
        entry = entries[kind, name]
        assert entry.made_by is not None
        assert (entry.reason, entry.made_by.name) == (None, name)


async def test_it_recognises(tmp_path: Path) -> None:
    ears = Ears()
    voice = np.full(8000, 3000, "<i2").tobytes()
    async with hub(tmp_path) as place:
        work = place.client.listen(TranscriptionOption(provider="loudness"), 16_000, ears)
        for piece in (SECOND, voice, SECOND, voice, SECOND):
            work.audio(piece)
        await ears.until(lambda: len(ears.finals) == 2)
        work.close()
    assert ears.finals == ["loudness 3000", "loudness 3000"]
    first, second = (text for text in ears.texts if text.final)
    assert (first.index, first.start, first.end) == (0, 1000, 1500)
    assert (second.index, second.start, second.end) == (1, 2500, 3000)
    assert ears.troubles == []


@pytest.mark.parametrize("rate", [8000, 16_000])
async def test_it_speaks(tmp_path: Path, rate: int) -> None:
    async with hub(tmp_path) as place:
        option = SynthesisOption(provider="beeps", speaker="low")
        assert place.client.streams(option)
        work = place.client.synthesise(None, option, rate)
        work.feed("a b")
        work.feed("c")
        work.end()
        pieces = [piece async for piece in work]
        samples = np.concatenate([piece for piece in pieces if not isinstance(piece, Word)])
        words = [piece for piece in pieces if isinstance(piece, Word)]
        assert [word.at for word in words] == sorted(word.at for word in words)
        assert words
    assert samples.size == 4 * rate * 80 // 1000
    beeps = samples.reshape(4, -1)
    assert [bool(np.any(beep)) for beep in beeps] == [True, False, True, True]


async def test_it_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    ears = Ears()
    async with hub(tmp_path) as place:
        work = place.client.synthesise("a", SynthesisOption(provider="beeps", speaker="medium"), 8000)
        with pytest.raises(SpeechError, match="high") as caught:
            await anext(work)
        assert caught.value.code == 400
        place.client.listen(TranscriptionOption(provider="loudness", extra={"quiet": 0}), 16_000, ears)
        await ears.until(lambda: bool(ears.failures))
    assert ears.failures == [("loudness: asr.extra.quiet must be 1 to 32767", 400)]

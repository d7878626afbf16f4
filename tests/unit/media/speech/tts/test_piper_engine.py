"""The engine of Piper, without its process: turns, holding, cancelling, failures."""

from collections.abc import Callable
from pathlib import Path

import pytest

from control.errors import ProviderError
from media.speech.local.engine import Data, Done, Failed, Report
from media.speech.tts.piper_engine import PiperEngine
from tests.support import pipervoice
from tests.support.pipervoice import SAMPLES, ids

THREE = "One two. Three four. Five six."


@pytest.fixture
def engine(tmp_path: Path) -> PiperEngine:
    pipervoice.write(tmp_path / "v.onnx", phonemes="espeak", speakers=2)
    return PiperEngine({"voice": str(tmp_path / "v.onnx")})


def begin(engine: PiperEngine, stream: int, text: str, **parameters: object) -> None:
    engine.open(stream, parameters)
    engine.data(stream, text.encode())
    engine.finish(stream)


def run(engine: PiperEngine) -> list[Report]:
    reports: list[Report] = []
    while engine.busy:
        reports += engine.step()
    return reports


def shape(reports: list[Report]) -> list[tuple[str, int]]:
    return [(type(report).__name__, report.stream) for report in reports]


def test_nothing_to_do(engine: PiperEngine) -> None:
    assert not engine.busy
    assert not list(engine.step())


def test_a_text_that_is_not_complete_waits(engine: PiperEngine) -> None:
    engine.open(1, {})
    engine.data(1, b"Hello. ")
    assert not engine.busy


def test_streams_take_turns(engine: PiperEngine) -> None:
    begin(engine, 1, THREE)
    begin(engine, 2, "One two. Three.")
    assert shape(run(engine)) == [
        ("Data", 1),
        ("Data", 2),
        ("Data", 1),
        ("Data", 2),
        ("Data", 1),
        ("Done", 2),
        ("Done", 1),
    ]


def test_a_letter_in_two_pieces(tmp_path: Path) -> None:
    pipervoice.write(tmp_path / "t.onnx", phonemes="text")
    engine = PiperEngine({"voice": str(tmp_path / "t.onnx")})
    engine.open(1, {})
    for byte in "æ".encode():
        engine.data(1, bytes([byte]))
    engine.finish(1)
    data, done = run(engine)
    assert isinstance(data, Data)
    assert len(data.data) == 2 * SAMPLES * ids(1)
    assert done == Done(1)


def test_a_stream_that_is_held_misses_its_turns(engine: PiperEngine) -> None:
    begin(engine, 1, THREE)
    begin(engine, 2, "One.")
    engine.hold(1, held=True)
    assert shape(run(engine)) == [("Data", 2), ("Done", 2)]
    engine.hold(1, held=False)
    assert shape(run(engine)) == [("Data", 1)] * 3 + [("Done", 1)]


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("complete", [False, True])
def test_a_stream_that_is_cancelled_is_forgotten(complete: bool, held: bool, engine: PiperEngine) -> None:
    engine.open(1, {})
    engine.data(1, THREE.encode())
    if complete:
        engine.finish(1)
        engine.step()
    engine.hold(1, held=held)
    engine.cancel(1)
    assert not engine.busy
    begin(engine, 1, "One.")
    assert shape(run(engine)) == [("Data", 1), ("Done", 1)]


def test_one_that_fails_does_not_touch_others(engine: PiperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(engine, 1, "One. Two.")
    begin(engine, 2, "One.", speaker_id="no number")
    reports = run(engine)
    [failed] = [report for report in reports if isinstance(report, Failed)]
    assert (failed.stream, failed.code, failed.retry) == (2, 500, False)
    assert failed.message.startswith("the voice cannot say this (")
    assert [report.stream for report in reports if isinstance(report, Done)] == [1]


def spoil_model(path: Path) -> None:
    path.write_bytes(b"\x08\x01")


def spoil_json(path: Path) -> None:
    path.with_name("v.onnx.json").write_text("[]", "utf-8")


def remove_json(path: Path) -> None:
    path.with_name("v.onnx.json").unlink()


@pytest.mark.parametrize("spoil", [spoil_model, spoil_json, remove_json, Path.unlink])
def test_a_voice_that_is_none(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "v.onnx"
    pipervoice.write(path)
    spoil(path)
    with pytest.raises(
        ProviderError, match=r"the voice v.onnx cannot be loaded \(\w+\): fetch it again"
    ) as caught:
        PiperEngine({"voice": str(path)})
    assert (caught.value.code, caught.value.retry) == (500, False)

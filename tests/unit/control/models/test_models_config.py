"""The catalogue of models: what can be written down, and what cannot."""

from pathlib import Path
from typing import Any

import pytest

from control.config import Settings, load
from control.errors import ConfigError
from control.models.config import ARCHIVE

SUM = "aB" * 32
OTHER = "12" * 32


def entry(**keys: Any) -> Settings:
    return Settings.model_validate({"models": {"amy": keys}})


def test_one_file_is_called_as_in_its_url() -> None:
    model = entry(kind="piper", url="https://u:p@h.example/a/voice%2Bone.onnx?key=1", sha256=SUM).models[
        "amy"
    ]
    assert {name: source.sha256 for name, source in model.sources.items()} == {"voice+one.onnx": SUM.lower()}
    assert "key=1" not in repr(model)


def test_an_archive() -> None:
    model = entry(url="http://h.example/?id=5", sha256=SUM, unpack=True).models["amy"]
    assert list(model.sources) == [ARCHIVE]
    assert model.kind == "other"


def test_files_have_the_names_that_they_are_given() -> None:
    files = {
        "v.onnx": {"url": "http://h.example/1", "sha256": SUM},
        "v.onnx.json": {"url": "http://h.example/2", "sha256": OTHER},
    }
    assert list(entry(files=files).models["amy"].sources) == ["v.onnx", "v.onnx.json"]


FILE = {"url": "http://h.example/1", "sha256": SUM}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({}, "exactly one of url and files"),
        ({"url": "http://h.example/a", "sha256": SUM, "files": {"a": FILE}}, "exactly one of url and files"),
        ({"url": "http://h.example/a"}, "url and sha256 go together"),
        ({"sha256": SUM, "files": {"a": FILE}}, "url and sha256 go together"),
        ({"unpack": True, "files": {"a": FILE}}, "unpack needs url"),
        ({"files": {"a": FILE, "b": FILE}}, "two files have the same sha256"),
        ({"url": "http://h.example/", "sha256": SUM}, "ends with no name"),
        ({"url": "http://h.example/%2e%2e", "sha256": SUM}, "ends with no name"),
        ({"url": "http://h.example/a%2Fb", "sha256": SUM}, "ends with no name"),
        ({"url": "file:///etc/passwd", "sha256": SUM}, "takes http"),
        ({"url": "ftp://h.example/a", "sha256": SUM}, "takes http"),
        ({"url": "http:///a", "sha256": SUM}, "takes http"),
        ({"url": "http://[::1/a", "sha256": SUM}, "takes http"),
        ({"url": "http://h.example:0/a", "sha256": SUM}, "takes http"),
        ({"url": "http://h.example/a", "sha256": SUM[1:]}, "64 hexadecimal digits"),
        ({"url": "http://h.example/a", "sha256": "g" * 64}, "64 hexadecimal digits"),
        ({"files": {"../a": FILE}}, "a name takes"),
        ({"files": {".model.json": FILE}}, "a name takes"),
        ({"url": "http://h.example/a", "sha256": SUM, "max_bytes": 0}, "greater than"),
        ({"url": "http://h.example/a", "sha256": SUM, "kind": "whisper"}, "piper"),
        ({"url": "http://h.example/a", "sha256": SUM, "size": 5}, "size"),
    ],
)
def test_what_cannot_be_written_down(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        entry(**keys)


@pytest.mark.parametrize("name", ["", ".parts", "a/b", "-x", "ä", "a" * 129])
def test_names_that_a_folder_cannot_have(name: str) -> None:
    with pytest.raises(ValueError, match="a name takes"):
        Settings.model_validate({"models": {name: FILE}})


def test_a_refusal_names_the_key_and_shows_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "sidecall.toml"
    path.write_text('[models.amy]\nurl = "ftp://me:hunter2@h.example/a"\nsha256 = ""\n', "utf-8")
    with pytest.raises(ConfigError, match=r"models\.amy\.url: takes http") as caught:
        load(path, {})
    assert "hunter2" not in str(caught.value)

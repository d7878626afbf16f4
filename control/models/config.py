"""The catalogue of models: the tables ``[models.NAME]`` of sidecall.toml."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

ARCHIVE = "archive"
"""Name of the only source of a model that is unpacked."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")


def is_plain(name: str) -> bool:
    """Whether `name` is the name of a file or folder anywhere, and neither hidden nor a path."""
    return _PLAIN.fullmatch(name) is not None


def _plain(value: str) -> str:
    if not is_plain(value):
        raise ValueError("a name takes letters, digits, '.', '_', '+' and '-', and begins with no '.' or '-'")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("takes http://host[:port]/path, or https")
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("takes the 64 hexadecimal digits that `sha256sum FILE` prints")
    return value.lower()


PlainName = Annotated[str, AfterValidator(_plain)]
ModelUrl = Annotated[str, AfterValidator(_url)]
Sha256 = Annotated[str, AfterValidator(_sha256)]


class ModelSource(BaseModel):
    """A file on a server, and what must be in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: ModelUrl = Field(repr=False)
    """Where it is: http or https."""
    sha256: Sha256
    """Its SHA-256, in hexadecimal digits."""


class ModelEntry(BaseModel):
    """A model that can be fetched: one file, several files, or an archive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["piper", "sherpa", "vosk", "other"] = "other"
    """Which engine takes it."""
    url: ModelUrl | None = Field(default=None, repr=False)
    """Where its only file or its archive is: http or https."""
    sha256: Sha256 | None = None
    """SHA-256 of what is behind `url`, in hexadecimal digits."""
    unpack: bool = False
    """Whether `url` is an archive (.tar.gz, .tar.bz2 or .zip)."""
    max_bytes: Annotated[int, Field(ge=1)] = 2_000_000_000
    """Bytes of each download, and of all that is unpacked from it."""
    files: dict[PlainName, ModelSource] = Field(default_factory=dict)
    """Its files by name, in place of `url`."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.url is None) == (not self.files):
            raise ValueError("set exactly one of url and files")
        if (self.url is None) != (self.sha256 is None):
            raise ValueError("url and sha256 go together; files have their own")
        if len({source.sha256 for source in self.files.values()}) < len(self.files):
            raise ValueError("two files have the same sha256")
        if self.unpack and self.url is None:
            raise ValueError("unpack needs url: files are never unpacked")
        if self.url is not None and not self.unpack and not is_plain(_last(self.url)):
            raise ValueError('url ends with no name of a file: use files = {"NAME" = {url, sha256}}')
        return self

    @property
    def sources(self) -> Mapping[str, ModelSource]:
        """What is fetched, by the name of the file that it becomes; an archive is called ARCHIVE."""
        if self.url is None or self.sha256 is None:
            return self.files
        name = ARCHIVE if self.unpack else _last(self.url)
        return {name: ModelSource(url=self.url, sha256=self.sha256)}


def _last(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])

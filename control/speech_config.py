"""The part of sidecall.toml that is about speech: ``[speech]`` and ``[providers.NAME]``."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]


class Speech(BaseModel):
    """Speech recognition and synthesis: what serves those who name no provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tts: _Name = "espeak"
    asr: _Name = "pocketsphinx"
    speaker: str = "en-us"
    """Voice of espeak for those who name none."""
    models: Path = Path("models")
    """Folder of models of local providers."""
    stall_seconds: Annotated[float, Field(gt=0, le=120)] = 8.0
    """How long a provider may owe audio of a text, or a word of what was said, before it counts as stalled."""


class ProviderFields(BaseModel):
    """What is the same in every call; a call's own option goes above it, key by key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = None
    region: str | None = None
    app_id: str | None = Field(default=None, repr=False)
    secret_id: str | None = Field(default=None, repr=False)
    secret_key: str | None = Field(default=None, repr=False)
    language: str | None = None
    model: str | None = None
    samplerate: Annotated[int, Field(ge=8000, le=48_000)] | None = None
    fallback: _Name | None = None
    extra: dict[str, Any] | None = Field(default=None, repr=False)


class Recognition(ProviderFields):
    """``[providers.NAME.asr]``: for recognition alone."""

    grammar: str | list[str] | None = None
    gate: bool | None = None


class Synthesis(ProviderFields):
    """``[providers.NAME.tts]``: for synthesis alone."""

    speaker: str | None = None
    speed: Annotated[float, Field(ge=-100, le=100)] | None = None
    volume: Annotated[float, Field(ge=0, le=100)] | None = None
    emotion: str | None = None
    max_concurrent_tasks: Annotated[int, Field(ge=1, le=100)] | None = None


class Provider(ProviderFields):
    """``[providers.NAME]``: for both."""

    asr: Recognition = Recognition()
    tts: Synthesis = Synthesis()

    def fields(self, kind: str) -> dict[str, Any]:
        """What is set for ``asr`` or ``tts``, by the names of the API's options."""
        special = self.asr if kind == "asr" else self.tts
        return self.model_dump(exclude_none=True, exclude={"asr", "tts"}) | special.model_dump(
            exclude_none=True
        )

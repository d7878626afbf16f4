"""Bases of the messages of the leg API."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Base: unknown fields are ignored, so that both sides may be updated one after the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Message(Model):
    """A request or notification; `method` is its JSON-RPC name."""

    method: ClassVar[str]

"""The API described for programs: OpenAPI for what is asked by HTTP, AsyncAPI for the sockets of bots.

All of it is made from the models of commands, options and events and from their docstrings.
"""

from media.api.spec.asyncapi import asyncapi
from media.api.spec.openapi import openapi

__all__ = ["asyncapi", "openapi"]

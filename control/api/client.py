"""The media worker's end of the leg API: one connection that is kept up for ever."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection
from typing import TypeVar

import aiohttp
from pydantic import ValidationError

from control.api.connection import Connection
from control.api.jsonrpc import JsonObject
from control.api.models import (
    Answered,
    Digit,
    Ended,
    Hello,
    Incoming,
    Killed,
    MediaChanged,
    Message,
    Model,
    Notice,
    Rejected,
    Ringing,
    Welcome,
)
from control.errors import LegError, LegErrorCode

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=Model)
NOTICES: dict[str, type[Notice]] = {
    notice.method: notice
    for notice in (Incoming, Ringing, Answered, MediaChanged, Digit, Rejected, Ended, Killed)
}
RECONNECT_SECONDS = 0.5


class LegClient:
    """Connects to control, says `Hello`, passes notices on, reconnects when the connection is lost.

    `legs` tells the legs this worker holds; `on_welcome` gets those that control still holds, after each connect.
    """

    def __init__(
        self,
        url: str,
        worker: str,
        *,
        legs: Callable[[], Collection[str]],
        on_notice: Callable[[Notice], None],
        on_welcome: Callable[[Collection[str]], None],
    ) -> None:
        self._url = url
        self._worker = worker
        self._instance = uuid.uuid4().hex
        self._legs = legs
        self._on_notice = on_notice
        self._on_welcome = on_welcome
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether control has welcomed us on the present connection."""
        return self._connection is not None

    async def request(self, message: Message, result: type[ModelT]) -> ModelT:
        """Ask control. Raises LegError."""
        if self._connection is None:
            raise LegError(LegErrorCode.NOT_CONNECTED, "control cannot be reached; try again in a moment")
        return await self._connection.request(message, result)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.ws_connect(self._url, heartbeat=10, max_msg_size=1 << 20) as socket:
                        await self._serve(Connection(socket, listener=self._notice))
                except (aiohttp.ClientError, OSError, LegError) as error:
                    log.debug("leg API %s: %s", self._url, error)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _serve(self, connection: Connection) -> None:
        serving = asyncio.create_task(connection.run())
        try:
            hello = Hello(worker=self._worker, instance=self._instance, legs=tuple(self._legs()))
            welcome = await connection.request(hello, Welcome)
            self._connection = connection
            log.info("leg API: connected to control %s", welcome.control)
            self._on_welcome(welcome.legs)
            await serving
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            if self._connection is not None:
                self._connection = None
                log.warning("leg API: connection to control lost")

    def _notice(self, method: str, params: JsonObject) -> None:
        kind = NOTICES.get(method)
        if kind is None:
            log.warning("leg API: unknown notice %s", method)
            return
        try:
            notice = kind.model_validate(params)
        except ValidationError as error:
            log.error("leg API: bad notice %s: %s", method, error)
            return
        self._on_notice(notice)

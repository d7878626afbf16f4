"""One WebSocket of the leg API: requests as futures, calls to a handler, one writer that keeps the order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.web import WebSocketResponse
from pydantic import ValidationError

from control.api import jsonrpc
from control.api.models import Message, Model
from control.errors import LegError, LegErrorCode
from control.tasks import Tasks

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=Model)
Handler = Callable[[str, jsonrpc.JsonObject], Awaitable[Model]]
Listener = Callable[[str, jsonrpc.JsonObject], None]


class Connection:
    """JSON-RPC over one open WebSocket.

    `handler` answers the other side's requests (each in a task of its own, started in order);
    `listener` takes its notifications, in order; what it raises goes to the event loop's exception handler and costs
    no other message.
    """

    def __init__(
        self,
        socket: WebSocketResponse | ClientWebSocketResponse,
        *,
        handler: Handler | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._socket = socket
        self._handler = handler
        self._listener = listener
        self._peer = jsonrpc.Peer()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._tasks = Tasks("leg API")

    async def run(self) -> None:
        """Serve until the socket closes; then every pending request fails with NOT_CONNECTED."""
        self._tasks.spawn(self._write())
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.TEXT:
                    log.warning("leg API: binary message ignored")
                    continue
                self._receive(message.data)
        finally:
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(
                        LegError(LegErrorCode.NOT_CONNECTED, "the leg API connection was lost")
                    )
            self._pending.clear()
            await self._tasks.close()

    async def request(self, message: Message, result: type[ModelT], seconds: float = 10.0) -> ModelT:
        """Ask the other side. Raises LegError when it refuses, is gone, or does not answer in time."""
        if self._socket.closed:
            raise LegError(LegErrorCode.NOT_CONNECTED, "the leg API connection is closed")
        number, text = self._peer.request(message.method, message.model_dump(mode="json", exclude_none=True))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        self._outbox.put_nowait(text)
        try:
            async with asyncio.timeout(seconds):
                return result.model_validate(await future)
        except TimeoutError:
            raise LegError(
                LegErrorCode.UNAVAILABLE, f"{message.method}: no answer in {seconds:g} s"
            ) from None
        except ValidationError as error:
            raise LegError(
                LegErrorCode.INTERNAL_ERROR, f"{message.method}: the answer is no {result.__name__}"
            ) from error
        finally:
            self._pending.pop(number, None)

    def notify(self, message: Message) -> None:
        """Tell the other side; messages leave in the order of these calls."""
        self._outbox.put_nowait(self._peer.notification(message.method, message.model_dump(mode="json")))

    async def close(self) -> None:
        """Close the socket; `run` then returns."""
        await self._socket.close()

    def _receive(self, text: str) -> None:
        match self._peer.receive(text):
            case jsonrpc.Call() as call:
                self._tasks.spawn(self._answer(call))
            case jsonrpc.Notification(method, params):
                if self._listener is None:
                    log.warning("leg API: unexpected notification %s", method)
                else:
                    asyncio.get_running_loop().call_soon(self._listener, method, params)
            case jsonrpc.Outcome(number, result, error):
                self._settle(number, result, error)
            case jsonrpc.Malformed(answer):
                log.warning("leg API: malformed message, answered %s", answer)
                self._outbox.put_nowait(answer)
            case jsonrpc.Stray(what):
                log.warning("leg API: %s", what)

    def _settle(self, number: int, result: Any, error: LegError | None) -> None:
        future = self._pending.get(number)
        if future is None or future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    async def _answer(self, call: jsonrpc.Call) -> None:
        try:
            if self._handler is None:
                raise LegError(LegErrorCode.METHOD_NOT_FOUND, f"{call.method}: no requests are taken here")
            answer = self._peer.result(
                call.id, (await self._handler(call.method, call.params)).model_dump(mode="json")
            )
        except LegError as error:
            answer = self._peer.error(call.id, error)
        except Exception as error:
            # The other side waits for an answer, whatever broke here.
            log.exception("leg API: %s failed", call.method)
            answer = self._peer.error(call.id, LegError(LegErrorCode.INTERNAL_ERROR, type(error).__name__))
        self._outbox.put_nowait(answer)

    async def _write(self) -> None:
        while True:
            text = await self._outbox.get()
            try:
                await self._socket.send_str(text)
            except ConnectionError:
                # The reader sees the same end and fails what is pending.
                return

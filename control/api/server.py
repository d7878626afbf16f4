"""Control's end of the leg API: the media workers and what they ask."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar, get_args

from aiohttp import web
from pydantic import ValidationError

from control.api.connection import Connection
from control.api.jsonrpc import JsonObject
from control.api.models import Hello, Message, Model, Request, Welcome
from control.errors import LegError, LegErrorCode

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=Model)

REQUESTS: dict[str, type[Request]] = {request.method: request for request in get_args(Request)}
GRACE_SECONDS = 5.0
"""How long the legs of a worker outlive its connection."""


class Worker:
    """A media worker process, over all its connections."""

    def __init__(self, name: str, instance: str) -> None:
        self.name = name
        self.instance = instance
        self._connection: Connection | None = None
        self._backlog: list[Message] = []

    @property
    def connected(self) -> bool:
        """Whether it can be reached now."""
        return self._connection is not None

    def attach(self, connection: Connection) -> None:
        """Use `connection` from now on and deliver what waited for it."""
        self._connection = connection
        for message in self._backlog:
            connection.notify(message)
        self._backlog.clear()

    def detach(self, connection: Connection) -> bool:
        """Forget `connection`; whether it was the one in use."""
        if self._connection is not connection:
            return False
        self._connection = None
        return True

    def notify(self, message: Message) -> None:
        """Tell the worker, in order; what it cannot hear now waits until it is back or given up."""
        if self._connection is None:
            self._backlog.append(message)
        else:
            self._connection.notify(message)


class LegServer:
    """Serves ``/legs``.

    `on_request` carries out a request; `on_hello` is told the legs a worker holds and returns those that stand;
    `on_lost` is called when a connection is lost, `on_gone` when its worker did not come back within the grace time.
    """

    def __init__(
        self,
        name: str,
        *,
        on_request: Callable[[Worker, Request], Awaitable[Model]],
        on_hello: Callable[[Worker, Collection[str]], tuple[str, ...]],
        on_lost: Callable[[Worker], None],
        on_gone: Callable[[Worker], None],
    ) -> None:
        self._name = name
        self._on_request = on_request
        self._on_hello = on_hello
        self._on_lost = on_lost
        self._on_gone = on_gone
        self._workers: dict[str, Worker] = {}
        self._graces: dict[str, asyncio.TimerHandle] = {}
        self._connections: set[Connection] = set()

    @property
    def workers(self) -> int:
        """Number of workers that are connected."""
        return sum(worker.connected for worker in self._workers.values())

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """The aiohttp handler of ``GET /legs``."""
        socket = web.WebSocketResponse(heartbeat=10, max_msg_size=1 << 20)
        await socket.prepare(request)
        worker: Worker | None = None

        async def answer(method: str, params: JsonObject) -> Model:
            nonlocal worker
            if method == Hello.method:
                if worker is not None:
                    raise LegError(LegErrorCode.INVALID_REQUEST, "worker.hello was said before")
                hello = _validate(Hello, params)
                worker = self._hello(hello, connection)
                return Welcome(control=self._name, legs=self._on_hello(worker, hello.legs))
            if worker is None:
                raise LegError(LegErrorCode.INVALID_REQUEST, "say worker.hello first")
            kind = REQUESTS.get(method)
            if kind is None:
                raise LegError(LegErrorCode.METHOD_NOT_FOUND, f"{method} is not a method of the leg API")
            return await self._on_request(worker, _validate(kind, params))

        connection = Connection(socket, handler=answer)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if worker is not None and worker.detach(connection):
                self._lost(worker)
        return socket

    async def close(self) -> None:
        """Close every connection and forget the workers."""
        for timer in self._graces.values():
            timer.cancel()
        self._graces.clear()
        self._workers.clear()
        await asyncio.gather(*(connection.close() for connection in self._connections))

    def _hello(self, hello: Hello, connection: Connection) -> Worker:
        worker = self._workers.setdefault(hello.instance, Worker(hello.worker, hello.instance))
        if (timer := self._graces.pop(hello.instance, None)) is not None:
            timer.cancel()
        worker.attach(connection)
        log.info("media worker %s connected", hello.worker)
        return worker

    def _lost(self, worker: Worker) -> None:
        if self._workers.get(worker.instance) is not worker:
            return
        log.warning(
            "media worker %s lost; its calls end unless it is back in %g s", worker.name, GRACE_SECONDS
        )
        self._on_lost(worker)
        loop = asyncio.get_running_loop()
        self._graces[worker.instance] = loop.call_later(GRACE_SECONDS, self._give_up, worker)

    def _give_up(self, worker: Worker) -> None:
        del self._graces[worker.instance]
        del self._workers[worker.instance]
        self._on_gone(worker)


def _validate(kind: type[ModelT], params: JsonObject) -> ModelT:
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise LegError(LegErrorCode.INVALID_PARAMS, f"{kind.__name__}.{where}: {fault['msg']}") from None

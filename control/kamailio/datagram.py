"""One end of Kamailio's JSON-RPC datagram socket: the form of commands and answers, and a bounded window.

One datagram a command, one datagram an answer. The kernel queues only about ten answers for a socket and
Kamailio throws away what does not fit: at most a window of commands is unanswered at a time.
"""

import asyncio
import errno
import json
import logging
import secrets
import socket
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control.errors import KamailioError, KamailioTimeoutError, SetupError

log = logging.getLogger(__name__)

MAX_COMMAND = 65_000
"""Bytes of the largest datagram that Kamailio reads whole."""
MAX_WAITING = 1000
"""Commands that may wait for their turn on one socket."""

_NOT_CONNECTED = frozenset({errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE})

Param = str | bytes | int


def encode(number: int, method: str, params: tuple[Param, ...]) -> bytes:
    """One request. Text goes as UTF-8, bytes as they are: Kamailio's parser leaves them alone.

    Raises KamailioError for NUL bytes, which it drops, and for what it would read only in part.
    """
    raw = [value if isinstance(value, int) else _transparent(value) for value in params]
    if any(isinstance(value, str) and "\0" in value for value in raw):
        raise KamailioError(f"{method}: a parameter holds a NUL byte, which Kamailio cannot take")
    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": raw}
    datagram = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode("latin-1")
    if len(datagram) > MAX_COMMAND:
        raise KamailioError(f"{method}: {len(datagram)} bytes are too long (at most {MAX_COMMAND})")
    return datagram


def _transparent(value: str | bytes) -> str:
    """Text whose Latin-1 form is the bytes wanted."""
    octets = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return octets.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What Kamailio answered to the command `number`: a result, or a fault (its code and words)."""

    number: int
    result: Any = None
    fault: tuple[int, str] | None = None


def decode(datagram: bytes) -> Answer:
    """Raises KamailioError when `datagram` is no JSON-RPC answer."""
    try:
        fields = json.loads(datagram.decode("utf-8", "replace"), strict=False)
        number = int(fields["id"])
        if "error" not in fields:
            return Answer(number, fields.get("result"))
        error = fields["error"]
        return Answer(number, fault=(int(error["code"]), str(error["message"])))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise KamailioError(f"not a JSON-RPC answer ({error!r}): {datagram[:200]!r}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """A command and the future of its answer."""

    number: int
    method: str
    datagram: bytes
    answer: "asyncio.Future[Any]"

    def fail(self, error: KamailioError) -> None:
        """End it with `error`, unless its caller waits no longer."""
        if not self.answer.done():
            self.answer.set_exception(error)


def remove_stale(server: Path) -> None:
    """Remove sockets beside `server` whose process is gone."""
    for path in server.parent.glob(f"{server.name}.*"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue


class Line:
    """One socket: commands go out in order, at most `window` of them unanswered."""

    def __init__(self, server: Path, window: int) -> None:
        self._server = server
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Command] = deque()
        self._sent: dict[int, Command] = {}
        self._path = server.with_name(f"{server.name}.{secrets.token_hex(4)}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind(str(self._path))
            self._path.chmod(0o600)
        except OSError as error:
            self._socket.close()
            raise SetupError(f"{self._path}: no socket can be made here: {error}") from error
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        """Remove the socket; what is under way fails."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)
        for command in (*self._sent.values(), *self._waiting):
            command.fail(KamailioError(f"{command.method}: the connection to Kamailio was closed"))
        self._sent.clear()
        self._waiting.clear()

    def send(self, command: Command) -> None:
        """Carry out `command` when its turn comes. Raises KamailioError."""
        if self._socket.fileno() < 0:
            raise KamailioError(f"{command.method}: the connection to Kamailio is closed")
        if len(self._waiting) >= MAX_WAITING:
            raise KamailioError(
                f"{command.method}: {MAX_WAITING} commands wait already: Kamailio is too slow"
            )
        self._waiting.append(command)
        self._flush()

    def forget(self, command: Command) -> None:
        """The caller of `command` waits no longer."""
        self._sent.pop(command.number, None)
        if command in self._waiting:
            self._waiting.remove(command)
        self._flush()

    def _flush(self) -> None:
        """Send what the window lets through."""
        while self._waiting and len(self._sent) < self._window and self._socket.fileno() >= 0:
            command = self._waiting[0]
            try:
                self._transmit(command.datagram)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._writable)
                return
            except OSError as error:
                self._waiting.popleft()
                reason = f"{command.method}: Kamailio cannot be reached at {self._server}: {error.strerror}"
                command.fail(KamailioError(reason))
                continue
            self._waiting.popleft()
            self._sent[command.number] = command

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self._flush()

    def _transmit(self, datagram: bytes) -> None:
        """Send; when Kamailio was started anew (or is new to us), connect first. Raises OSError."""
        try:
            self._socket.send(datagram)
        except OSError as error:
            if error.errno not in _NOT_CONNECTED:
                raise
            for command in self._sent.values():
                command.fail(KamailioTimeoutError(f"{command.method}: Kamailio ended before it answered"))
            self._sent.clear()
            self._socket.connect(str(self._server))
            self._socket.send(datagram)

    def _read(self) -> None:
        """Take every answer that is there."""
        while True:
            try:
                datagram = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            try:
                self._take(decode(datagram))
            except KamailioError:
                log.exception("kamailio: an answer is lost")
        self._flush()

    def _take(self, answer: Answer) -> None:
        command = self._sent.pop(answer.number, None)
        if command is None or command.answer.done():
            log.info("kamailio: answer %d came too late", answer.number)
        elif answer.fault is None:
            command.answer.set_result(answer.result)
        else:
            code, words = answer.fault
            command.fail(KamailioError(f"{command.method}: {words}", code))

"""One bot's WebSocket on its transport: what comes in goes to the session, within limits, without a task a frame."""

import asyncio
import logging
from datetime import UTC, datetime

from media.api.frames import Close, CloseCode, Message, Opcode, Ping, Pong, Reader, Violation
from media.api.gate import BotSession
from media.api.limits import Limiter, Verdict
from media.api.outbox import Outbox

log = logging.getLogger(__name__)

COMPLAINT_SECONDS = 1.0
"""Audio that comes too fast is answered once in this time, commands each."""


class Connection(asyncio.Protocol):
    """The reading half; `outbox` is the writing one. `gone` is done when the connection is lost."""

    def __init__(
        self,
        session_id: str,
        session: BotSession,
        outbox: Outbox,
        reader: Reader,
        commands: Limiter,
        audio: Limiter,
    ) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._session_id = session_id
        self._session = session
        self._outbox = outbox
        self._reader = reader
        self._commands = commands
        self._audio = audio
        self._clock = asyncio.get_running_loop().time
        self._http: asyncio.BaseProtocol | None = None
        self._heard = True
        """Whether anything came since the last ping."""
        self._complaint = 0.0
        """When the bot was last told that its audio comes too fast."""
        self._refused_bytes = 0

    def take_over(self, transport: asyncio.Transport) -> None:
        """Read from `transport` in place of its HTTP protocol, which still learns when it is lost.

        The client must not have sent anything behind its request (RFC 6455 section 4.1): it would be lost.
        """
        self._http = transport.get_protocol()
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self._heard = True
        for message in self._reader.feed(data):
            self._take(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever closed it."""
        self._outbox.lost()
        if not self.gone.done():
            self.gone.set_result(None)
        if isinstance(self._http, asyncio.Protocol):
            self._http.connection_lost(exc)

    def beat(self) -> bool:
        """Ping the bot; drop it when nothing came since the last ping. Whether it lives."""
        if not self._outbox.is_open:
            return False
        if not self._heard:
            log.warning(
                "session %s: the bot does not answer pings: its connection is dropped", self._session_id
            )
            self._outbox.drop("the bot does not answer pings")
            return False
        self._heard = False
        payload = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._outbox.control(Opcode.PING, payload.encode())
        self._session.pinged(payload)
        return True

    def _take(self, message: Message) -> None:
        match message:
            case Close(code=code):
                self._outbox.finish(code)
            case _ if not self._outbox.is_open:
                return
            case Ping(payload=payload):
                self._outbox.control(Opcode.PONG, payload)
            case Pong():
                return
            case Violation(code=code, reason=reason):
                self._cut_off(code, reason)
            case str() | bytes():
                try:
                    self._message(message)
                except Exception:
                    # A fault in one session must not cost another its connection.
                    log.exception("session %s: a message cannot be handled", self._session_id)
                    self._outbox.close(
                        CloseCode.INTERNAL_ERROR, "an internal error; the operator's log tells more"
                    )

    def _message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            verdict = self._audio.judge(self._clock(), len(message))
        else:
            verdict = self._commands.judge(self._clock())
        match verdict, message:
            case Verdict.TAKE, bytes():
                self._session.receive_binary(message)
            case Verdict.TAKE, str():
                self._session.receive(message)
            case Verdict.REFUSE, bytes():
                self._complain(len(message))
            case Verdict.REFUSE, str():
                self._session.error("command", "too many commands: this one is not carried out", 429)
            case _:
                what = "audio" if isinstance(message, bytes) else "commands"
                self._cut_off(CloseCode.POLICY_VIOLATION, f"a flood of {what}")

    def _complain(self, size: int) -> None:
        self._refused_bytes += size
        if self._clock() - self._complaint >= COMPLAINT_SECONDS:
            self._complaint = self._clock()
            said = f"audio comes too fast: {self._refused_bytes} bytes were dropped; send it in real time"
            self._refused_bytes = 0
            self._session.error("media", said, 429)

    def _cut_off(self, code: CloseCode, reason: str) -> None:
        log.warning("session %s: cut off (%d): %s", self._session_id, code, reason)
        self._outbox.close(code, reason)

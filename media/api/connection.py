"""One bot's WebSocket on its transport: what comes in goes to the session, within limits, without a task a frame."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from media.api.frames import Close, CloseCode, Message, Opcode, Ping, Pong, Reader, Violation
from media.api.gate import BotSession
from media.api.limits import Limiter, Verdict
from media.api.outbox import Outbox

log = logging.getLogger(__name__)

JUDGED_BYTES = 4096
"""Audio is judged when so much has come, and each frame while it is too much: it is not worth it one by one."""
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
        keep_time: Callable[[], None],
    ) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._session_id = session_id
        self._session = session
        self._outbox = outbox
        self._reader = reader
        self._commands = commands
        self._audio = audio
        self._keep_time = keep_time
        self._clock = asyncio.get_running_loop().time
        self._http: asyncio.BaseProtocol | None = None
        self._heard = True
        """Whether anything came since the last ping."""
        self._complaint = 0.0
        """When the bot was last told that its audio comes too fast."""
        self._refused_bytes = self._unjudged = 0
        self._judge_from = JUDGED_BYTES

    def take_over(self, transport: asyncio.Transport) -> None:
        """Read from `transport` in place of its HTTP protocol, which still learns when it is lost.

        The client must not have sent anything behind its request (RFC 6455 section 4.1): it would be lost.
        """
        self._http = transport.get_protocol()
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self._heard = True
        # A loop that has much to read comes to nothing else meanwhile.
        self._keep_time()
        try:
            if (audio := self._reader.audio(data)) is not None:
                self._binary(audio)
                return
            for message in self._reader.feed(data):
                self._take(message)
        except Exception:
            # A fault in one session must not cost another its connection.
            log.exception("session %s: a message cannot be handled", self._session_id)
            self._outbox.close(CloseCode.INTERNAL_ERROR, "an internal error; the operator's log tells more")

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
            case bytes():
                self._binary(message)
            case str():
                self._text(message)
            case Close(code=code):
                self._outbox.finish(code)
            case Ping(payload=payload):
                self._outbox.control(Opcode.PONG, payload)
            case Violation(code=code, reason=reason):
                self._cut_off(code, reason)
            case Pong():
                pass

    def _binary(self, audio: bytes) -> None:
        if not self._outbox.is_open:
            return
        self._unjudged += len(audio)
        if self._unjudged < self._judge_from:
            self._session.receive_binary(audio)
            return
        verdict = self._audio.judge(self._clock(), self._unjudged)
        self._unjudged = 0
        self._judge_from = JUDGED_BYTES if verdict is Verdict.TAKE else 0
        match verdict:
            case Verdict.TAKE:
                self._session.receive_binary(audio)
            case Verdict.REFUSE:
                self._complain(len(audio))
            case Verdict.CUT_OFF:
                self._cut_off(CloseCode.POLICY_VIOLATION, "a flood of audio")

    def _text(self, command: str) -> None:
        if not self._outbox.is_open:
            return
        match self._commands.judge(self._clock()):
            case Verdict.TAKE:
                self._session.receive(command)
            case Verdict.REFUSE:
                self._session.error("command", "too many commands: this one is not carried out", 429)
            case Verdict.CUT_OFF:
                self._cut_off(CloseCode.POLICY_VIOLATION, "a flood of commands")

    def _complain(self, size: int) -> None:
        self._refused_bytes += size
        if self._clock() - self._complaint >= COMPLAINT_SECONDS:
            self._complaint = self._clock()
            said = f"audio comes too fast: {self._refused_bytes} bytes were dropped; send it in real time"
            self._refused_bytes = 0
            self._session.error("media", said, 429)

    def _cut_off(self, code: CloseCode, reason: str) -> None:
        if not self._outbox.is_open:
            return
        log.warning("session %s: cut off (%d): %s", self._session_id, code, reason)
        self._outbox.close(code, reason)

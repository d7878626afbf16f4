"""Commands to Kamailio: JSON-RPC 2.0 over its unix datagram socket (module jsonrpcs)."""

import asyncio
import itertools
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from control.errors import KamailioTimeoutError, SipError
from control.kamailio.datagram import Command, Line, Param, encode, remove_stale
from control.kamailio.events import Address
from control.sip.effects import Headers

TIMEOUT = 5.0
"""Seconds from the call until its answer must be there."""

MARK = "X-Sidecall"
"""Header that tells Kamailio that a request is ours; its value is our From tag."""
_NAME = re.compile(r"[A-Za-z0-9.%*_+`'~-]+")
"""A token (RFC 3261 section 25.1) without "!", which ``tm.t_uac_start`` cannot send."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TAG = re.compile(r";tag=(b\.[^.;>\s]+\.[^;>\s]+)$")
_VERBATIM = frozenset({"from", "f", "to", "t", "call-id", "i", "cseq"})
_SUBSTITUTE = "\x1a"


class KamailioRpc:
    """A few datagram sockets; commands with the same key use the same one and are carried out in order."""

    def __init__(self, lines: Sequence[Line]) -> None:
        """Use `open`."""
        self._numbers = itertools.count(1)
        self._lines = lines

    @classmethod
    def open(cls, path: Path, sockets: int = 4, window: int = 8) -> Self:
        """`sockets` sockets beside `path`, Kamailio's own, each with at most `window` unanswered commands.

        Kamailio need not be there yet. Needs a running event loop. Raises SetupError when the folder cannot
        be written or its name is too long.
        """
        remove_stale(path)
        return cls([Line(path, window) for _ in range(sockets)])

    def close(self) -> None:
        """Close and remove the sockets; commands under way fail with KamailioError."""
        for line in self._lines:
            line.close()

    async def call(self, method: str, *params: Param, key: str = "") -> Any:
        """Carry out `method`; return its result.

        Commands with the same `key` are carried out in the order of their calls. Raises KamailioError when
        Kamailio refuses (its code is kept) or cannot be reached, KamailioTimeoutError when no answer came.
        """
        number = next(self._numbers)
        datagram = encode(number, method, params)
        line = self._lines[zlib.crc32(key.encode("utf-8", "replace")) % len(self._lines)]
        command = Command(number, method, datagram, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(TIMEOUT):
                line.send(command)
                return await command.answer
        except TimeoutError:
            raise KamailioTimeoutError(f"{method}: Kamailio did not answer within {TIMEOUT:g} s") from None
        finally:
            line.forget(command)

    async def reply(
        self,
        transaction: str,
        code: int,
        reason: str,
        to_tag: str,
        headers: Headers = (),
        body: bytes = b"",
        key: str = "",
    ) -> None:
        """Answer a request that waits (``tm.reply``); provisional replies may precede the final one.

        `headers` without Via, From, To, Call-ID, CSeq and Content-Length. `key` is the transaction unless
        given. Raises KamailioError, with code 481 when the transaction is gone and 500 when it was answered
        already; SipError when a header cannot be sent.
        """
        _refuse_controls("reason phrase", reason)
        _check(headers)
        key = key or transaction
        await self.call("tm.reply", code, reason, transaction, to_tag, _lines(headers), body, key=key)

    async def start(
        self,
        method: str,
        uri: str,
        next_hop: str,
        source: Address,
        headers: Headers,
        body: bytes = b"",
        fr_timer: float | None = None,
        fr_inv_timer: float | None = None,
    ) -> None:
        """Send a request (``tm.t_uac_start``), to which Kamailio adds Via, User-Agent and Content-Length.

        Its replies come as events. `next_hop` is the URI it is sent to, with an IP address; empty: `uri`.
        `source` is one of Kamailio's sockets. From ends with our tag ``b.<control>.<random>``. `fr_timer`:
        seconds until the final reply, for an INVITE until the first one; `fr_inv_timer`: seconds from there
        until the final reply to an INVITE; None: the defaults of kamailio.cfg.
        Raises KamailioError; SipError when a header cannot be sent.
        """
        _check(headers)
        marks = [(MARK, _from_tag(headers))]
        if fr_timer is not None or fr_inv_timer is not None:
            marks += [
                (f"{MARK}-Fr", _milliseconds(fr_timer)),
                (f"{MARK}-Fr-Inv", _milliseconds(fr_inv_timer)),
            ]
        shielded = _shielded(headers)
        if shielded != headers:
            marks.append((f"{MARK}-Sub", "1"))
        lines = _lines((*marks, *shielded))
        call_id = _value(headers, "call-id", "i")
        await self.call("tm.t_uac_start", method, uri, next_hop, str(source), lines, body, key=call_id)

    async def cancel(self, call_id: str, cseq: int) -> None:
        """Cancel our pending INVITE (``tm.cancel``); its 487 comes as an event.

        Raises KamailioError with code 400 when there is no such INVITE any more.
        """
        await self.call("tm.cancel", call_id, str(cseq), key=call_id)


def _check(headers: Headers) -> None:
    """Raises SipError for what would break the message, or would pass for a mark of ours."""
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise SipError(f"{name!r} is not the name of a header field")
        if name.lower().startswith(MARK.lower()):
            raise SipError(f"{name}: header fields of this name are ours alone")
        _refuse_controls(name, value)


def _refuse_controls(what: str, value: str) -> None:
    if _CONTROL.search(value):
        raise SipError(f"{what}: {value[:80]!r} holds a line break or another control character")


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    """Header fields as they go on the wire."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


def _shielded(headers: Headers) -> Headers:
    """`headers` without "!", which ``tm.t_uac_start`` takes for a variable in all fields but these."""
    return tuple(
        (name, value if name.lower() in _VERBATIM else value.replace("!", _SUBSTITUTE))
        for name, value in headers
    )


def _value(headers: Headers, *names: str) -> str:
    return next((value for name, value in headers if name.lower() in names), "")


def _from_tag(headers: Headers) -> str:
    value = _value(headers, "from", "f")
    found = _TAG.search(value)
    if not found:
        raise SipError(f"From: {value!r} does not end with a tag of ours (b.<control>.<random>)")
    return found[1]


def _milliseconds(seconds: float | None) -> str:
    return str(round((seconds or 0) * 1000))

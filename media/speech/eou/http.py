"""External detectors of the end of a turn: a server that is asked by HTTP about each pause.

The protocol is ours, see ``docs/turn-taking.md``. The bot names the server, so it is connected to as files are fetched
for bots: public addresses only, no redirects.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from control.errors import AudioFileError, ProviderError
from media.api.fields import MAX_MS
from media.api.options import EouOption
from media.fetch import checked, guarded_session
from media.speech.eou.rule import Pause, Verdict
from media.speech.link import failure, parse, refused

SECONDS = 1.0
"""After which an answer is of no use."""
MAX_ANSWER = 65_536
"""Bytes."""
_NAME = "eou"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is on the line."""

    session_id: str
    track_id: str
    language: str | None = None


class RemoteDetector:
    """Asks the servers that bots name; one for all calls of a worker. Close it."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolver: AbstractResolver | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, option: EouOption, asked: Asked, pause: Pause) -> int | Verdict:
        """What the server of `option` says about `pause`: after how many ms of silence it ends the turn, or the limit.

        Raises ProviderError; without ``retry`` where the next pause would fare no better.
        """
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._post(self._checked(option), headers(option), question(asked, pause))
        except TimeoutError:
            raise ProviderError(f"{_NAME}: the endpoint did not answer in {self._seconds:g} s", 504) from None
        except AudioFileError as error:
            raise ProviderError(f"{_NAME}: {error}", error.code, retry=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise failure(f"{_NAME} endpoint", error) from error
        return verdict(answer)

    def _checked(self, option: EouOption) -> URL:
        return checked(option.endpoint or "", allow_private=self._allow_private)

    async def _post(self, url: URL, head: dict[str, str], body: dict[str, Any]) -> bytes:
        if self._session is None:
            self._session = guarded_session(
                timeout=self._seconds, allow_private=self._allow_private, resolver=self._resolver
            )
        async with self._session.post(url, json=body, headers=head, allow_redirects=False) as response:
            if 300 <= response.status < 400:
                raise ProviderError(
                    f"{_NAME} endpoint: it answered {response.status}, and redirects are not followed",
                    502,
                    retry=False,
                )
            if response.status != 200:
                raise refused(f"{_NAME} endpoint", response.status)
            answer = bytearray()
            async for piece in response.content.iter_any():
                answer += piece
                if len(answer) > MAX_ANSWER:
                    raise ProviderError(f"{_NAME} endpoint: its answer has more than {MAX_ANSWER} bytes")
            return bytes(answer)


def headers(option: EouOption) -> dict[str, str]:
    """Who we are to the server. Raises ProviderError for what no header may hold."""
    found = {}
    if option.secret_key:
        found["Authorization"] = f"Bearer {option.secret_key}"
    if option.secret_id:
        found["X-Secret-Id"] = option.secret_id
    if not all(value.isprintable() and value.isascii() for value in found.values()):
        raise ProviderError(
            f'{_NAME}: "secretId" and "secretKey" must be printable ASCII for an endpoint', 400, retry=False
        )
    return found


def question(asked: Asked, pause: Pause) -> dict[str, Any]:
    """The body of a request."""
    body: dict[str, Any] = {
        "sessionId": asked.session_id,
        "trackId": asked.track_id,
        "text": pause.text,
        "silence": pause.silence,
        "speech": pause.speech,
    }
    if asked.language is not None:
        body["language"] = asked.language
    return body


def verdict(answer: bytes) -> int | Verdict:
    """What an answer means. Raises ProviderError when it is none."""
    try:
        fields = parse(f"{_NAME} endpoint", answer)
    except RecursionError:
        raise ProviderError(f"{_NAME} endpoint: sent what is no answer: it is nested too deeply") from None
    completed, wait = fields.get("completed"), fields.get("wait")
    if not isinstance(completed, bool):
        raise ProviderError(f'{_NAME} endpoint: "completed" in its answer must be true or false')
    if wait is None:
        return 0 if completed else Verdict.LIMIT
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= MAX_MS:
        raise ProviderError(f'{_NAME} endpoint: "wait" in its answer must be 0 to {MAX_MS} ms')
    return round(wait)

"""Answering the digest challenges that one request meets (RFC 3261 section 22.2 and 22.3)."""

import re
from dataclasses import dataclass, field

from control.errors import DigestError
from control.sip.digest import Credentials, authorize
from control.sip.effects import Headers
from control.sip.message import Response

_STALE = re.compile(r'\bstale[ \t]*=[ \t]*"?true\b', re.IGNORECASE)


@dataclass(slots=True)
class _Challenge:
    response: Response
    tries: int
    uses: int = 0


@dataclass(slots=True)
class Challenges:
    """What proxies (407) and the far end (401) asked of one request, across its repetitions."""

    credentials: Credentials | None
    _met: dict[int, _Challenge] = field(default_factory=dict)
    """By status code: a request may need both answers at once."""

    def answer(self, response: Response, method: str, uri: str, body: bytes = b"") -> Headers:
        """Headers for the repetition of a request that `response` (401 or 407) refused.

        Raises DigestError when repeating is useless: no credentials, or they were refused. They count as
        refused when the same challenger asks again, unless it says once that its nonce was stale.
        """
        if self.credentials is None:
            raise DigestError(f"{response.code}: the far end asks for credentials and none are configured")
        before = self._met.get(response.code)
        if before and (before.tries > 1 or not _is_stale(response)):
            raise DigestError(
                f"{response.code}: the far end refused the credentials of {self.credentials.username}"
            )
        self._met[response.code] = _Challenge(response, before.tries + 1 if before else 1)
        answers = []
        for challenge in self._met.values():
            challenge.uses += 1
            answers.append(
                authorize(
                    challenge.response, method, uri, self.credentials, body=body, nonce_count=challenge.uses
                )
            )
        return tuple(answers)


def _is_stale(response: Response) -> bool:
    name = "Proxy-Authenticate" if response.code == 407 else "WWW-Authenticate"
    return any(_STALE.search(value) for value in response.headers.all(name))

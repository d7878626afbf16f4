"""Digest authentication, the client's side (RFC 7616 and RFC 8760; without qop as in RFC 2069)."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from control.errors import DigestError
from control.sip.message import Response
from control.sip.uri import shorten

_HEADERS: Final = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}
"""Status code → header of the challenge, header of the answer (RFC 3261 section 22)."""

_HASHES: Final = {
    algorithm: name
    for algorithm, name in (("MD5", "md5"), ("SHA-256", "sha256"), ("SHA-512-256", "sha512_256"))
    if name in hashlib.algorithms_available
}
"""Algorithm → its name in hashlib; weakest first."""
_STRENGTH: Final = {name: strength for strength, name in enumerate(_HASHES)}

_SCHEME = re.compile(r"\s*digest[ \t]+", re.IGNORECASE)
_PARAM = re.compile(
    r"""[ \t,]*([A-Za-z0-9.!%*_+`'~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))[ \t]*(?:,|$)"""
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are at a server; `realm` None answers any realm."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a server; text is unquoted."""

    realm: str
    nonce: str
    algorithm: str | None = None
    """As written; None means MD5."""
    qop: tuple[str, ...] = ()
    """In lower case; empty when the server knows none (RFC 2069)."""
    opaque: str | None = None
    stale: bool = False
    """The credentials were right and only the nonce was too old."""

    @classmethod
    def parse(cls, value: str) -> Self:
        """Parse the value of a WWW-Authenticate or Proxy-Authenticate header.

        Raises DigestError for another scheme, bad grammar, and an absent realm or nonce.
        """
        params = _parse_params(value)
        for name in ("realm", "nonce"):
            if name not in params:
                raise DigestError(f"challenge {shorten(value)} has no {name}")
        return cls(
            realm=params["realm"],
            nonce=params["nonce"],
            algorithm=params.get("algorithm"),
            qop=tuple(qop for text in params.get("qop", "").split(",") if (qop := text.strip().lower())),
            opaque=params.get("opaque"),
            stale=params.get("stale", "").lower() == "true",
        )

    @property
    def session(self) -> bool:
        """Whether the key is bound to nonce and cnonce (``-sess``)."""
        return (self.algorithm or "").upper().endswith("-SESS")

    @property
    def hash_name(self) -> str:
        """The algorithm without ``-sess``, in upper case; it need not be one we know."""
        return (self.algorithm or "MD5").upper().removesuffix("-SESS")

    @property
    def protection(self) -> str | None:
        """The qop we answer with: auth before auth-int; None when neither is offered."""
        return next((qop for qop in ("auth", "auth-int") if qop in self.qop), None)

    def obstacle(self, realm: str | None) -> str | None:
        """Why credentials for `realm` (None: any) cannot answer this challenge; None when they can."""
        if realm not in (None, self.realm):
            return f"realm {shorten(self.realm)} is not {shorten(realm or '')}"
        if self.hash_name not in _HASHES:
            return f"algorithm {shorten(self.algorithm or '')} is unknown"
        if self.qop and not self.protection:
            return f"qop {shorten(','.join(self.qop))} is unknown"
        if self.session and not self.qop:
            return f"algorithm {self.algorithm} needs qop"
        return None


def authorize(
    response: Response,
    method: str,
    uri: str,
    credentials: Credentials,
    *,
    body: bytes = b"",
    nonce_count: int = 1,
    cnonce: str | None = None,
) -> tuple[str, str]:
    """Header (name, value) that answers a 401 or 407 `response` when `method` is sent to `uri` again.

    Of several challenges the one with the strongest algorithm is answered, the topmost among equals.
    `body` is that of the new request; `nonce_count` counts requests that use this nonce.
    Raises DigestError when `response` is no challenge, or has none that we can answer.
    """
    if response.code not in _HEADERS:
        raise DigestError(f"{response.code} is no challenge; 401 and 407 are")
    if not 1 <= nonce_count <= 0xFFFFFFFF:
        raise DigestError(f"nonce count {nonce_count} is not within 1 and 2**32-1; ask for a new nonce")
    asked, answered = _HEADERS[response.code]
    challenge = _strongest(response.headers.all(asked), credentials.realm, asked)
    return answered, _answer(
        challenge, method, uri, credentials, body, f"{nonce_count:08x}", cnonce or secrets.token_hex(8)
    )


def _strongest(values: Iterable[str], realm: str | None, header: str) -> Challenge:
    fitting = []
    obstacles = []
    for value in values:
        try:
            challenge = Challenge.parse(value)
        except DigestError as error:
            obstacles.append(str(error))
            continue
        obstacle = challenge.obstacle(realm)
        if obstacle:
            obstacles.append(obstacle)
        else:
            fitting.append(challenge)
    if not fitting:
        raise DigestError(
            f"{header}: no challenge that we can answer: {'; '.join(obstacles) or 'it is missing'}"
        )
    return max(fitting, key=lambda challenge: _STRENGTH[challenge.hash_name])


def _answer(
    challenge: Challenge,
    method: str,
    uri: str,
    credentials: Credentials,
    body: bytes,
    count: str,
    cnonce: str,
) -> str:
    """Value of the answering header (RFC 7616 section 3.4)."""

    def digest(*parts: str) -> str:
        return digest_bytes(":".join(parts).encode("utf-8", "surrogateescape"))

    def digest_bytes(data: bytes) -> str:
        return hashlib.new(_HASHES[challenge.hash_name], data, usedforsecurity=False).hexdigest()

    qop = challenge.protection
    key = digest(credentials.username, challenge.realm, credentials.password)
    if challenge.session:
        key = digest(key, challenge.nonce, cnonce)
    request = [method, uri]
    if qop == "auth-int":
        request.append(digest_bytes(body))
    freshness = [count, cnonce, qop] if qop else []
    params = [
        f"username={_quote(credentials.username)}",
        f"realm={_quote(challenge.realm)}",
        f"nonce={_quote(challenge.nonce)}",
        f"uri={_quote(uri)}",
        f'response="{digest(key, challenge.nonce, *freshness, digest(*request))}"',
    ]
    if challenge.algorithm is not None:
        params.append(f"algorithm={challenge.algorithm}")
    if qop:
        params += [f"cnonce={_quote(cnonce)}", f"qop={qop}", f"nc={count}"]
    if challenge.opaque is not None:
        params.append(f"opaque={_quote(challenge.opaque)}")
    return "Digest " + ", ".join(params)


def _parse_params(value: str) -> dict[str, str]:
    """Parameters by lower-case name, without quotes and escapes."""
    scheme = _SCHEME.match(value)
    if not scheme:
        raise DigestError(f"challenge {shorten(value)} is not of the Digest scheme")
    if _CONTROL.search(value):
        raise DigestError(f"challenge {shorten(value)} has a control character")
    params: dict[str, str] = {}
    position = scheme.end()
    while match := _PARAM.match(value, position):
        name = match[1].lower()
        if name in params:
            raise DigestError(f"challenge {shorten(value)} has {name} twice")
        params[name] = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        position = match.end()
    if value[position:].strip(" \t,"):
        raise DigestError(f"challenge {shorten(value)} has no NAME=VALUE at {shorten(value[position:])}")
    return params


def _quote(text: str) -> str:
    if _CONTROL.search(text):
        raise DigestError(f"{shorten(text)} has a control character and cannot stand in a header")
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'

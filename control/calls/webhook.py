"""Announce an incoming call to a bot's HTTP server, signed as Standard Webhooks says (standardwebhooks.com)."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from control.errors import WebhookError

log = logging.getLogger(__name__)

RETRY_SECONDS = (0.2, 0.6)
TIMEOUT = aiohttp.ClientTimeout(total=3)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the bot's server is told."""

    dialog_id: str
    """To be used as ``id`` of ``/call/sip``."""
    caller: str
    """URI of the From header."""
    callee: str
    """URI of the To header."""
    offer: str
    """The caller's SDP."""
    headers: tuple[str, ...]
    """All header fields of the INVITE, ``Name: value``."""
    created_at: str
    """When the call came in: RFC 3339 in UTC."""

    def body(self) -> bytes:
        """The JSON body."""
        return json.dumps(
            {
                "event": "invite",
                "dialogId": self.dialog_id,
                "createdAt": self.created_at,
                "caller": self.caller,
                "callee": self.callee,
                "headers": self.headers,
                "offer": self.offer,
            },
            ensure_ascii=True,
        ).encode()


def signature_headers(secret: str | None, body: bytes, message_id: str, timestamp: int) -> dict[str, str]:
    """The webhook-* headers; without a secret the message is identified but not signed."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        signed = f"{message_id}.{timestamp}.".encode() + body
        digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
    return headers


async def announce(
    http: aiohttp.ClientSession, url: str, secret: str | None, announcement: Announcement
) -> None:
    """POST `announcement` until a 2xx comes back; a 4xx is final. Raises WebhookError."""
    body = announcement.body()
    message_id = f"msg_{uuid.uuid4().hex}"
    reason = ""
    for pause in (0.0, *RETRY_SECONDS):
        await asyncio.sleep(pause)
        headers = signature_headers(secret, body, message_id, int(time.time()))
        headers["content-type"] = "application/json"
        try:
            async with http.post(
                url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    return
                reason = f"HTTP {answer.status}"
                if 400 <= answer.status < 500 and answer.status not in (408, 425, 429):
                    break
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        log.warning("webhook %s: %s", _place(url), reason)
    raise WebhookError(f"webhook {_place(url)} did not take the call: {reason}")


def _place(url: str) -> str:
    """`url` fit for logs: user, password and query may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _key(secret: str) -> bytes:
    """A secret written ``whsec_BASE64`` is decoded, any other is taken as it is."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            return secret.encode()
    return secret.encode()

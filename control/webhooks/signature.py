"""Signatures of Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body`` (standardwebhooks.com, symmetric keys)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE = 300
"""Seconds that the sender's clock and the way may take; what is older may be a replay."""
_PREFIX = "whsec_"


def sign(secret: str | None, body: bytes, message_id: str, timestamp: int) -> dict[str, str]:
    """The webhook-* headers; without a secret the message is identified but not signed.

    `message_id` is the same for each try and holds no full stop; `timestamp` is that of the try, Unix seconds.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        headers["webhook-signature"] = _signature(secret, body, message_id, str(timestamp))
    return headers


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether one of the signatures is right and the message not older, or newer, than TOLERANCE.

    The keys of `headers` are in lower case, or compared without case. `now` is in Unix seconds.
    """
    message_id, timestamp = headers.get("webhook-id"), headers.get("webhook-timestamp", "")
    if not message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return False
    if abs(now - int(timestamp)) > TOLERANCE:
        return False
    right = _signature(secret, body, message_id, timestamp).encode()
    given = headers.get("webhook-signature", "").encode("utf-8", "replace").split(b" ")
    return any(hmac.compare_digest(right, one) for one in given)


def _signature(secret: str, body: bytes, message_id: str, timestamp: str) -> str:
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    """A secret written ``whsec_BASE64`` is decoded, any other is taken as it is."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except ValueError:
            return secret.encode()
    return secret.encode()

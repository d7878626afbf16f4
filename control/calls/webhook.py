"""Announce an incoming call to a bot's HTTP server (Standard Webhooks)."""

import asyncio
import json
import logging
from dataclasses import dataclass

import aiohttp

from control.errors import WebhookError
from control.webhooks.sender import Delivered, Refused, new_id, place, post

log = logging.getLogger(__name__)

RETRY_SECONDS = (0.2, 0.6)
TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the bot's server is told."""

    dialog_id: str
    """To be used as ``id`` of ``/call/sip``."""
    caller: str
    callee: str
    offer: str
    headers: tuple[str, ...]
    """All header fields of the INVITE, ``Name: value``."""
    created_at: str
    """RFC 3339."""

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


async def announce(
    http: aiohttp.ClientSession, url: str, secret: str | None, announcement: Announcement
) -> None:
    """POST `announcement` until a 2xx comes back; a 4xx is final. Raises WebhookError."""
    body, message_id = announcement.body(), new_id()
    reason = ""
    for pause in (0.0, *RETRY_SECONDS):
        await asyncio.sleep(pause)
        outcome = await post(http, url, secret, body, message_id, within=TIMEOUT)
        if isinstance(outcome, Delivered):
            return
        reason = outcome.reason
        if isinstance(outcome, Refused):
            break
        log.warning("webhook %s: %s", place(url), reason)
    raise WebhookError(f"webhook {place(url)} did not take the call: {reason}")

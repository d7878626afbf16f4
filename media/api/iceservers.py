"""The ICE servers that browsers are told of, with short-lived credentials for TURN."""

import base64
import hmac
from typing import Any

from control.config import Ice


def ice_servers(settings: Ice, user: str, now: float) -> list[dict[str, Any]]:
    """RTCIceServer dictionaries (W3C WebRTC section 4.2.3) for `user`; `now` in seconds since the Unix epoch.

    Credentials are those of TURN's REST convention (coturn: ``use-auth-secret``): the user name begins with the
    time at which it expires, the password is its HMAC-SHA1 under the shared secret, in base64.
    """
    servers = [server.model_dump(mode="json", exclude_none=True) for server in settings.servers]
    if settings.turn_urls and settings.turn_secret is not None:
        name = f"{int(now) + settings.turn_ttl}:{user}"
        digest = hmac.digest(settings.turn_secret.encode(), name.encode(), "sha1")
        credential = base64.b64encode(digest).decode()
        servers.append({"urls": list(settings.turn_urls), "username": name, "credential": credential})
    return servers

"""Where calls come from and where they may go: trunks, and URIs that may be dialled directly."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from control.calls.routes import matches_uri
from control.config import Settings, Trunk
from control.errors import LegError, LegErrorCode, UriError
from control.sip.digest import Credentials
from control.sip.uri import NameAddr, SipUri, escape_user, parse_name_addr, parse_uri

_NUMBER = re.compile(r"\+?[0-9A-Za-z*#._-]+")
_NOWHERE = "invalid"
"""Host of a bare number that no trunk has taken (RFC 2606)."""


@dataclass(frozen=True, slots=True)
class Destination:
    """How an outgoing call leaves us."""

    uri: SipUri
    """Request URI and To."""
    next_hop: SipUri
    """Host that the request is sent to."""
    caller: NameAddr
    """From."""
    credentials: Credentials | None
    trunk: str | None
    """Name of the trunk; None for a URI dialled directly."""


def trunk_of(trunks: Sequence[Trunk], address: str) -> Trunk | None:
    """The first trunk that `address` (IP) may send calls for, or None."""
    source = ipaddress.ip_address(address)
    for trunk in trunks:
        if any(source in ipaddress.ip_network(network, strict=False) for network in trunk.addresses):
            return trunk
    return None


def choose_destination(
    settings: Settings,
    callee: str,
    caller: str | None,
    credentials: Credentials | None,
    *,
    domain: str,
) -> Destination:
    """Where a call to `callee` (SIP URI, tel URI or bare number) goes.

    The first trunk with a matching pattern takes it; else ``calls.allow`` must match the whole URI. `domain` stands
    in a From that nobody configured. Raises LegError: INVALID_PARAMS for an unusable address, FORBIDDEN when nothing
    allows the call.
    """
    target = _address(callee, "callee", _NOWHERE).uri
    for trunk in settings.trunks:
        if trunk.gateway is not None and any(matches_uri(pattern, target) for pattern in trunk.callees):
            return _by_trunk(trunk, target, caller)
    if target.scheme == "sip" and target.host != _NOWHERE:
        text = str(target)
        if any(re.fullmatch(pattern, text) for pattern in settings.calls.allow):
            origin = _address(caller or "sidecall", "caller", domain)
            return Destination(target, target, origin, credentials, None)
    raise LegError(
        LegErrorCode.FORBIDDEN,
        f"calls to {callee} are not allowed: no trunk takes this callee and calls.allow does not match it",
    )


def _by_trunk(trunk: Trunk, target: SipUri, caller: str | None) -> Destination:
    gateway = parse_uri(trunk.gateway or "")
    uri = SipUri("sip", target.user, host=gateway.host, port=gateway.port, params=gateway.params)
    origin = caller or trunk.caller or f"sip:{escape_user(trunk.username or 'sidecall')}@{gateway.host}"
    known = trunk.username is not None and trunk.password is not None
    credentials = Credentials(trunk.username or "", trunk.password or "", trunk.realm) if known else None
    return Destination(uri, gateway, _address(origin, "caller", gateway.host), credentials, trunk.name)


def _address(text: str, what: str, host: str) -> NameAddr:
    """`text`, a bare number (of `host`), URI or ``"name" <URI>``, without header parameters: our tag is one."""
    if _NUMBER.fullmatch(text):
        text = f"sip:{text}@{host}"
    try:
        address = parse_name_addr(text if "<" in text else f"<{text}>")
    except UriError as error:
        raise LegError(LegErrorCode.INVALID_PARAMS, f"{what}: {error}") from error
    uri = address.uri
    if uri.scheme not in ("sip", "tel") or not uri.user or uri.headers:
        raise LegError(
            LegErrorCode.INVALID_PARAMS, f"{what} {text}: write sip:user@host, tel:+number or a number"
        )
    return NameAddr(address.display, uri)


def usable_caller(uri: str) -> str | None:
    """`uri`, that of a call's From, if another call may have it in its own; else None."""
    try:
        _address(uri, "caller", _NOWHERE)
    except LegError:
        return None
    return uri

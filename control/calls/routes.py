"""Which bot takes an incoming call: the first route that matches."""

import re
from collections.abc import Sequence

from control.config import Route
from control.sip.uri import SipUri


def choose_route(
    routes: Sequence[Route], *, trunk: str | None, caller: SipUri, callee: SipUri
) -> Route | None:
    """The first of `routes` that matches the call, or None.

    `trunk` is the name of the trunk or registration the call came by. Patterns are searched for in the user part and
    in the whole URI, so ``^bot$`` and ``@example\\.com$`` both do what they say.
    """
    return next((route for route in routes if _matches(route, trunk, caller, callee)), None)


def matches_uri(pattern: str, uri: SipUri) -> bool:
    """Whether `pattern` is found in the user part or in the whole of `uri`."""
    return any(re.search(pattern, text) for text in (uri.user or "", str(uri)))


def _matches(route: Route, trunk: str | None, caller: SipUri, callee: SipUri) -> bool:
    return (
        (route.trunk is None or route.trunk == trunk)
        and (route.caller is None or matches_uri(route.caller, caller))
        and (route.callee is None or matches_uri(route.callee, callee))
    )

import pytest

from control.calls.routes import choose_route, matches_uri
from control.config import Route
from control.sip.uri import parse_uri

ALICE = parse_uri("sip:alice@example.com")
BOT = parse_uri("sip:bot@example.net:5080")
ANY = Route(pool="any")


@pytest.mark.parametrize(
    ("route", "takes"),
    [
        (ANY, True),
        (Route(trunk="carrier", pool="p"), True),
        (Route(trunk="other", pool="p"), False),
        (Route(caller="^alice$", pool="p"), True),
        (Route(caller="^bob$", pool="p"), False),
        (Route(callee="^bot$", pool="p"), True),
        (Route(callee="@example\\.net:5080$", pool="p"), True),
        (Route(callee="^b$", pool="p"), False),
        (Route(trunk="carrier", caller="alice", callee="^bot$", pool="p"), True),
        (Route(trunk="carrier", caller="alice", callee="^other$", pool="p"), False),
    ],
)
def test_a_route_takes_what_all_its_keys_match(route: Route, takes: bool) -> None:
    chosen = choose_route([route], trunk="carrier", caller=ALICE, callee=BOT)
    assert chosen == (route if takes else None)


def test_the_first_route_that_matches_wins() -> None:
    routes = [Route(callee="^x$", pool="a"), Route(callee="^bot$", pool="b"), ANY]
    assert choose_route(routes, trunk=None, caller=ALICE, callee=BOT) == routes[1]
    assert choose_route(routes, trunk=None, caller=ALICE, callee=ALICE) == ANY
    assert choose_route([], trunk=None, caller=ALICE, callee=BOT) is None


def test_a_route_of_a_trunk_takes_no_call_without_one() -> None:
    assert choose_route([Route(trunk="t", pool="p")], trunk=None, caller=ALICE, callee=BOT) is None


def test_a_uri_without_user_has_its_whole_text() -> None:
    assert matches_uri("^$", parse_uri("sip:example.com"))
    assert matches_uri("^sip:example", parse_uri("sip:example.com"))
    assert not matches_uri("^example", parse_uri("sip:example.com"))

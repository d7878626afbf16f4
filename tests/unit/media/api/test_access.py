"""Tokens, and web pages."""

import pytest

from control.config import Api, Settings, Token
from media.api.access import Origins, Tokens
from tests.support.apiport import TOKEN, UPGRADE, serving

OURS, THEIRS = "https://app.example.com", "https://evil.example.net"


def origins(*allowed: str, tokens: tuple[str, ...] = ()) -> Origins:
    return Origins(Settings(api=Api(origins=allowed, tokens=tokens)))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://localhost:8080", "LOCALHOST:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://192.0.2.7", "192.0.2.7"),
    ],
)
def test_pages_of_our_own_host(origin: str, host: str) -> None:
    assert origins().allows(origin, host)
    assert not origins().allows(origin, "127.0.0.1:1")
    assert not origins().allows(origin, "")


def test_a_name_is_our_own_host_only_where_tokens_guard_it() -> None:
    """Whoever owns a name may let it resolve to this machine."""
    assert not origins().allows("http://sidecall.example.com", "sidecall.example.com")
    assert origins(tokens=("t",)).allows("http://sidecall.example.com", "sidecall.example.com")
    assert not origins(tokens=("t",)).allows(THEIRS, "sidecall.example.com")


@pytest.mark.parametrize("origin", ["null", "", "file://", "https://", "//", "https://[", "x"])
def test_origins_that_are_nobody(origin: str) -> None:
    assert not origins(OURS, tokens=("t",)).allows(origin, "")
    assert not origins(OURS, tokens=("t",)).allows(origin, "h")
    assert origins("*").allows(origin, "h")


def test_configured_origins() -> None:
    assert origins(OURS).allows("HTTPS://APP.example.com", "h")
    assert not origins(OURS).allows("http://app.example.com", "h")
    assert not origins(OURS).allows(f"{OURS}.evil.example.net", "h")


def test_tokens_are_known_by_their_text() -> None:
    shop = Token(name="shop", token="b")
    tokens = Tokens(("a",), (shop,))
    assert tokens
    assert tokens.find("a") == (True, None)
    assert tokens.find("b") == (True, shop)
    assert tokens.find("c") == (False, None)
    assert tokens.find("") == (False, None)
    assert not Tokens((), ())


@pytest.mark.parametrize("path", ["/call", "/call/lists", "/metrics"])
async def test_a_strange_page_is_refused(path: str) -> None:
    async with serving() as port:
        error = await port.refused(path, 403, headers=UPGRADE | {"Origin": THEIRS})
        assert error["field"] == "Origin"
        assert port.door.stubs == []


async def test_an_allowed_page_may_read_answers_and_refusals() -> None:
    async with serving(Api(origins=(OURS,), tokens=(TOKEN,))) as port:
        bearer = {"Authorization": f"Bearer {TOKEN}", "Origin": OURS}
        for path, headers, status in (
            ("/call/lists", bearer, 200),
            ("/nowhere", bearer, 404),
            ("/call/lists", {"Origin": OURS}, 401),
        ):
            async with port.http.get(path, headers=headers) as response:
                assert response.status == status
                assert response.headers["Access-Control-Allow-Origin"] == OURS
                assert response.headers["Vary"] == "Origin"
        async with port.bot(f"?token={TOKEN}", headers={"Origin": OURS}) as bot:
            assert not bot.closed


async def test_browsers_ask_first() -> None:
    async with serving(Api(origins=(OURS,), tokens=(TOKEN,))) as port:
        asked = {"Origin": OURS, "Access-Control-Request-Method": "POST"}
        async with port.http.options("/call/kill/x", headers=asked) as response:
            assert response.status == 204
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        async with port.http.options("/call/kill/x", headers=asked | {"Origin": THEIRS}) as response:
            assert response.status == 403


async def test_who_is_no_browser_has_no_origin() -> None:
    async with serving() as port, port.http.get("/call/lists") as response:
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers

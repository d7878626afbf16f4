"""Links of the documentation lead to files and headings that are there."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "llms.txt")
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```", re.DOTALL)


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of a page's headings, as forges make them."""
    seen: dict[str, int] = {}
    found = set()
    for title in re.findall(r"^#+ (.*)$", _CODE.sub("", path.read_text("utf-8")), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen[anchor] = seen.get(anchor, -1) + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", (ROOT / page).read_text("utf-8"))):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text("utf-8")
    for page in docs.rglob("*.*"):
        name = page.relative_to(docs).as_posix()
        assert name == "README.md" or f"]({name})" in index, name

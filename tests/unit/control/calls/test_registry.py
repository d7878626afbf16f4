from dataclasses import dataclass

from control.calls.registry import Registry


@dataclass(frozen=True)
class Entry:
    id: str
    local_tag: str
    invite_key: tuple[str, str] | None = None


INCOMING = Entry("1", "b.a.1", ("call", "tag"))
NO_TAG = Entry("2", "b.a.2", ("call", ""))
DIALLED = Entry("3", "b.a.3")


def registry() -> Registry[Entry]:
    legs: Registry[Entry] = Registry()
    for leg in (INCOMING, NO_TAG, DIALLED):
        legs.add(leg)
    return legs


def test_legs_are_found_by_all_their_names() -> None:
    legs = registry()
    assert len(legs) == 3
    assert legs.get("1") is legs.by_tag("b.a.1") is legs.by_invite("call", "tag") is INCOMING
    assert legs.get("3") is legs.by_tag("b.a.3") is DIALLED
    assert legs.by_invite("call", None) is NO_TAG


def test_what_is_unknown_is_not_found() -> None:
    legs = registry()
    assert legs.get("9") is legs.by_tag("9") is legs.by_tag(None) is legs.by_invite("call", "9") is None


def test_a_removed_leg_leaves_nothing() -> None:
    legs = registry()
    for leg in (INCOMING, DIALLED, DIALLED):
        legs.remove(leg)
    assert list(legs) == [NO_TAG]
    assert (
        legs.get("1") is legs.by_tag("b.a.1") is legs.by_invite("call", "tag") is legs.by_tag("b.a.3") is None
    )


def test_legs_may_go_while_they_are_walked_through() -> None:
    legs = registry()
    for leg in legs:
        legs.remove(leg)
    assert not legs

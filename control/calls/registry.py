"""All legs of this control process, and whom an event of Kamailio concerns."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Tagged(Protocol):
    """What the registry needs of a leg."""

    @property
    def id(self) -> str:
        """Id in the leg API."""

    @property
    def local_tag(self) -> str:
        """Our tag, unique among all legs; empty for a leg without SIP."""

    @property
    def invite_key(self) -> tuple[str, str] | None:
        """Call-ID and From tag of the INVITE that made it; None for legs that we dialled."""


LegT = TypeVar("LegT", bound=Tagged)


class Registry(Generic[LegT]):
    """Legs by id, by our tag, and (for CANCEL, which has no To tag) by their INVITE."""

    def __init__(self) -> None:
        self._by_id: dict[str, LegT] = {}
        self._by_tag: dict[str, LegT] = {}
        self._by_invite: dict[tuple[str, str], LegT] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LegT]:
        return iter(list(self._by_id.values()))

    def add(self, leg: LegT) -> None:
        """Know `leg` from now on."""
        self._by_id[leg.id] = leg
        if leg.local_tag:
            self._by_tag[leg.local_tag] = leg
        if leg.invite_key is not None:
            self._by_invite[leg.invite_key] = leg

    def remove(self, leg: LegT) -> None:
        """Forget `leg`; one that is not known does nothing."""
        self._by_id.pop(leg.id, None)
        self._by_tag.pop(leg.local_tag, None)
        if leg.invite_key is not None:
            self._by_invite.pop(leg.invite_key, None)

    def get(self, leg_id: str) -> LegT | None:
        """The leg with this id."""
        return self._by_id.get(leg_id)

    def by_tag(self, tag: str | None) -> LegT | None:
        """The leg with this tag of ours."""
        return self._by_tag.get(tag or "")

    def by_invite(self, call_id: str, from_tag: str | None) -> LegT | None:
        """The leg that this INVITE made."""
        return self._by_invite.get((call_id, from_tag or ""))

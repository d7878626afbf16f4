"""A wrong type in any field of any command is refused with 400 and the field's name; the call goes on."""

import json
import re
from collections.abc import Iterator

import pytest

from control.errors import CommandError
from media.api import commands
from media.session.state import State
from tests.support import contract
from tests.support.contract import MODELS, Way
from tests.support.sessions import House

VALUES: dict[str, object] = {
    "text": "so",
    "boolean": True,
    "number": 7,
    "object": {"a": "b"},
    "list": [1],
}
ALSO: dict[tuple[str, str], frozenset[str]] = {
    ("ringing", "recorder"): frozenset({"boolean"}),
    **{(name, "option.interrupt"): frozenset({"text"}) for name in ("invite", "accept")},
    **{(name, "option.answerMachineDetection"): frozenset({"boolean"}) for name in ("invite", "accept")},
}
"""Kinds that a field takes besides those of its type."""
FIELDS = {
    f"{name}: {'.'.join(way)}": (name, way, kinds | ALSO.get((name, ".".join(way)), frozenset()))
    for name, model in MODELS.items()
    for way, kinds in contract.leaves(model)
}


def wrong(name: str, way: Way, kinds: frozenset[str]) -> Iterator[str]:
    """The command with each value in `way` that does not belong there."""
    for kind, value in VALUES.items():
        if kind not in kinds:
            yield json.dumps(contract.having(contract.minimal(name), way, value))


@pytest.mark.parametrize("field", FIELDS)
def test_wrong_type_is_refused_by_name(field: str) -> None:
    name, way, kinds = FIELDS[field]
    for text in wrong(name, way, kinds):
        where = f'^command "{name}": .*"{re.escape(".".join(way))}" '
        with pytest.raises(CommandError, match=where) as refused:
            commands.parse(text)
        assert refused.value.code == 400, text


async def test_every_wrong_type_is_one_error_event(house: House) -> None:
    guest = house.guest()
    await guest.dial()
    before = len(guest.box.events)
    sent = [text for name, way, kinds in FIELDS.values() for text in wrong(name, way, kinds)]
    for text in sent:
        guest.session.receive(text)
    told = guest.box.events[before:]
    assert len(told) == len(sent)
    assert {(event["event"], event["sender"], event["code"]) for event in told} == {("error", "command", 400)}
    assert guest.state is State.DIALING

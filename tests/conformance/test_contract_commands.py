"""Every example command of the API contract is taken as it stands, and so is what only looks different."""

import json
from typing import Any

import pytest

from control.errors import CommandError
from media.api import commands
from tests.support import contract
from tests.support.contract import COMMANDS, MANDATORY, Json, Way

READ_AS: frozenset[Way] = frozenset(
    {("option", "handshakeTimeout"), ("option", "asr", "modelType"), ("recorder",)}
)
"""Values that are written otherwise when read back: ``"30s"``, ``modelType`` (``model``) and false (none)."""
WITHOUT = [
    pytest.param(name, key, id=f"{name}: {key}") for name, keys in MANDATORY.items() for key in sorted(keys)
]


def parse(command: Json) -> commands.Command:
    return commands.parse(json.dumps(command))


def value(data: Json, way: Way) -> Any:
    for key in way:
        data = data[key]
    return data


@pytest.mark.parametrize("name", COMMANDS)
def test_example_is_read_whole(name: str) -> None:
    example = COMMANDS[name]
    given = parse(example).model_dump(mode="json", by_alias=True, exclude_unset=True)
    for way in contract.fields(example):
        if way not in READ_AS and not isinstance(value(example, way), dict):
            assert value(given, way) == value(example, way)


def test_two_spellings_and_a_switch_are_understood() -> None:
    option = parse(COMMANDS["invite, all of CallOption"])
    assert isinstance(option, commands.Invite)
    assert option.option.handshake_timeout == 30
    assert option.option.asr is not None
    assert option.option.asr.model == "16k_zh"
    ringing = parse(COMMANDS["ringing"])
    assert isinstance(ringing, commands.Ringing)
    assert ringing.recorder is None


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_fields_change_nothing(name: str) -> None:
    assert parse(contract.with_unknown(COMMANDS[name])) == parse(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_order_of_keys_changes_nothing(name: str) -> None:
    for seed in range(5):
        assert parse(contract.shuffled(COMMANDS[name], seed)) == parse(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_optional_field_may_be_absent_or_null(name: str) -> None:
    example = COMMANDS[name]
    needed = MANDATORY.get(example["command"], frozenset())
    for way in contract.fields(example):
        if len(way) > 1 or way[0] not in needed:
            absent = parse(contract.without(example, way))
            assert parse(contract.having(example, way, None)) == absent


@pytest.mark.parametrize("missing", [True, False], ids=["absent", "null"])
@pytest.mark.parametrize(("name", "key"), WITHOUT)
def test_mandatory_field_is_missed_by_name(name: str, key: str, missing: bool) -> None:
    example = COMMANDS[name]
    given = contract.without(example, (key,)) if missing else contract.having(example, (key,), None)
    with pytest.raises(CommandError, match=f'command "{name}": field "{key}" is missing') as refused:
        parse(given)
    assert refused.value.code == 400


@pytest.mark.parametrize("name", MANDATORY)
def test_every_other_field_may_be_absent_at_once(name: str) -> None:
    assert parse(contract.minimal(name)).command == name


def test_every_command_of_the_contract_is_known() -> None:
    documented = {example["command"] for example in COMMANDS.values()}
    assert documented | {"dtmf"} == set(commands.NAMES)

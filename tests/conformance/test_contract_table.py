"""docs/conformance.md is what the models and tests are: nothing is missing, and every test that it names exists."""

import pytest

from tests.support import conformance, contract
from tests.support.conformance import TESTS, Row

ROWS = [row for _, rows in conformance.sections() for row in rows]
BINARY = {"binary"}
"""Never sent as JSON: written by hand."""


def test_page_is_written_from_the_table() -> None:
    assert conformance.PAGE.read_text("utf-8") == conformance.page(), (
        "run: python -m tests.support.conformance"
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.item))
def test_every_line_names_a_test_that_exists(row: Row) -> None:
    file, _, name = row.test.partition("::")
    assert row.meaning, "what does it mean?"
    assert name in conformance.functions(file)


def test_every_field_of_the_contract_is_in_the_table() -> None:
    items = {row.item for row in ROWS}
    documented = {f"{name} event.{key}" for name, keys in contract.EVENT_FIELDS.items() for key in keys}
    documented |= {f"{name} event" for name in contract.EVENT_FIELDS}
    documented |= {
        f"{name}.{key}" for name, keys in contract.COMMAND_FIELDS.items() for key in keys if "." not in key
    }
    documented |= set(contract.COMMAND_FIELDS)
    documented |= {f"{name}.{key}" for name, example in contract.OBJECTS.items() for key in example}
    assert documented <= items


def test_no_line_is_there_twice() -> None:
    items = [row.item for row in ROWS]
    assert sorted(items) == sorted(set(items))


def test_every_entry_of_the_table_is_used() -> None:
    used = {conformance.patterns_of(row.item)[0] for row in ROWS if conformance.patterns_of(row.item)}
    assert set(TESTS) == used

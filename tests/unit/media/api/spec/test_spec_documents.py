"""The documents are those in docs/, and are built as OpenAPI 3.1 and AsyncAPI 3.0 want them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from control.config import Settings
from control.errors import SetupError
from media.api import events, options
from media.api.server import make_app
from media.api.spec import __main__ as program
from media.api.spec import asyncapi, openapi
from media.api.spec.schemas import COMMANDS
from media.api.spec.tables import marked, refreshed
from tests.support.apiport import Door, serving
from tests.support.jsonschema import check, resolve

DOCS = Path(__file__).parents[5] / "docs"
STALE = "run: sidecall spec --write docs"
WEBHOOKS = ("Announcement", "CallDetailRecord", "Packets", "BargeIns", "Transfer", "RecordingPart")
METHODS = ("get", "post")

OPENAPI, ASYNCAPI = openapi(), asyncapi()


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(part)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place in ("paths", "webhooks"):
        for path, item in document[place].items():
            for method, operation in item.items():
                assert method in METHODS
                yield path, operation


@pytest.mark.parametrize("name", program.DOCUMENTS)
def test_committed(name: str) -> None:
    assert (DOCS / f"{name}.json").read_text("utf-8") == program.text(name), STALE


def test_tables_are_fresh() -> None:
    text = (DOCS / "api.md").read_text("utf-8")
    assert text == refreshed(text), STALE


def test_every_message_and_object_has_its_table() -> None:
    there = marked((DOCS / "api.md").read_text("utf-8"))
    wanted = {("command", kind.model_fields["command"].default) for kind in COMMANDS}
    wanted |= {("event", kind.event) for kind in get_args(events.Event)}
    names = [name for name in vars(options) if name.endswith("Option")]
    wanted |= {("object", name) for name in (*names, "CallQuality", "Attendee")}
    wanted |= {("rest", name) for name in ("Call", "IceServer", *WEBHOOKS)} | {("query", "all")}
    assert there == wanted


@pytest.mark.parametrize("marker", ["command dance", "event dance", "dance all", "object Dance"])
def test_an_unknown_marker(marker: str) -> None:
    with pytest.raises(SetupError, match="nothing for the marker"):
        refreshed(f"<!-- spec: {marker} -->\n<!-- /spec -->")


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    references = [node["$ref"] for node in nodes(document) if "$ref" in node]
    assert references
    for reference in references:
        resolve(reference, document)
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in references, f"{name} is of no use"


class TestOpenApi:
    def test_head(self) -> None:
        assert OPENAPI["openapi"] == "3.1.0"
        assert {"title", "version"} <= set(OPENAPI["info"])
        assert set(OPENAPI) <= {
            *("openapi", "info", "servers", "security", "tags", "paths", "webhooks", "components")
        }

    def test_every_operation(self) -> None:
        tags = {tag["name"] for tag in OPENAPI["tags"]}
        names = []
        for path, operation in operations(OPENAPI):
            names.append(operation["operationId"])
            assert operation["summary"]
            assert set(operation["tags"]) <= tags
            assert operation["responses"], path
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[1-5]\d\d|2XX", status)
                assert response.get("description") or "$ref" in response
            declared = [(each["in"], each["name"]) for each in operation.get("parameters", ())]
            assert len(set(declared)) == len(declared)
            assert {name for place, name in declared if place == "path"} == set(re.findall(r"{(\w+)}", path))
            for each in operation.get("parameters", ()):
                assert each["description"]
                assert each["schema"]
                assert each["in"] != "path" or each["required"]
        assert len(set(names)) == len(names)

    def test_security(self) -> None:
        schemes = OPENAPI["components"]["securitySchemes"]
        for wanted in OPENAPI["security"]:
            assert set(wanted) <= set(schemes)
        assert OPENAPI["paths"]["/healthz"]["get"]["security"] == []

    def test_examples(self) -> None:
        found = 0
        for node in nodes(OPENAPI):
            if "example" in node:
                check(node["example"], node["schema"], OPENAPI)
                found += 1
        assert found == len([node for node in nodes(OPENAPI) if "example" in node]) >= 6


class TestAsyncApi:
    def test_head(self) -> None:
        assert ASYNCAPI["asyncapi"] == "3.0.0"
        assert {"title", "version"} <= set(ASYNCAPI["info"])

    def test_channels_and_operations(self) -> None:
        assert {each["address"] for each in ASYNCAPI["channels"].values()} == {
            *("/call", "/call/webrtc", "/call/sip")
        }
        spoken: dict[str, set[str]] = {name: set() for name in ASYNCAPI["channels"]}
        for operation in ASYNCAPI["operations"].values():
            assert operation["action"] in ("send", "receive")
            channel = operation["channel"]["$ref"].removeprefix("#/channels/")
            for message in operation["messages"]:
                place, _, name = message["$ref"].rpartition("/")
                assert place == f"#/channels/{channel}/messages"
                spoken[channel].add(name)
        for name, channel in ASYNCAPI["channels"].items():
            assert spoken[name] == set(channel["messages"])

    def test_messages(self) -> None:
        messages = ASYNCAPI["components"]["messages"]
        for message in messages.values():
            assert message["summary"]
            for example in message.get("examples", ()):
                check(example["payload"], message["payload"], ASYNCAPI)
        binary = {name for name, message in messages.items() if "contentType" in message}
        assert binary == {"audioIn", "audioOut", "subscribedAudio"}

    def test_only_telephones_are_called(self) -> None:
        channels = ASYNCAPI["channels"]
        incoming = {"IncomingEvent", "AcceptCommand", "RejectCommand", "RingingCommand"}
        assert incoming <= set(channels["sipCall"]["messages"])
        assert not incoming & {*channels["call"]["messages"], *channels["webrtcCall"]["messages"]}


async def test_served() -> None:
    async with serving() as port:
        for path, document in (("/openapi.json", OPENAPI), ("/asyncapi.json", ASYNCAPI)):
            async with port.http.get(path) as response:
                assert response.content_type == "application/json"
                assert await response.json() == document


async def test_answers_are_as_described() -> None:
    """Of every path that is asked by HTTP, and the refusal of every path that is for WebSockets."""
    async with serving() as port, port.http.ws_connect("/call?id=mine"):
        for path, item in OPENAPI["paths"].items():
            for method, operation in item.items():
                async with port.http.request(method, path.replace("{id}", "nobody")) as response:
                    described = operation["responses"][str(response.status)]
                    if "$ref" in described:
                        described = resolve(described["$ref"], OPENAPI)
                    content = described["content"][response.content_type]
                    if response.content_type == "application/json":
                        check(await response.json(), content["schema"], OPENAPI)


def test_every_path_of_the_port_is_described() -> None:
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in make_app(Settings(), Door()).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    served.remove(("get", "/call/"))  # as /call
    assert served == {(method, path) for path, item in OPENAPI["paths"].items() for method in item}


class TestProgram:
    def test_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert program.main(["-c", "some.toml", "openapi"]) == 0
        assert json.loads(capsys.readouterr().out) == OPENAPI

    def test_written(self, tmp_path: Path) -> None:
        tables = tmp_path / "api.md"
        tables.write_text("<!-- spec: event inactivity -->\nold\n<!-- /spec -->\n", "utf-8")
        assert program.main(["--write", str(tmp_path)]) == 0
        assert json.loads((tmp_path / "asyncapi.json").read_text("utf-8")) == ASYNCAPI
        assert "old" not in tables.read_text("utf-8")
        assert '"event": "inactivity"' in tables.read_text("utf-8")

    def test_without_tables(self, tmp_path: Path) -> None:
        assert program.main(["--write", str(tmp_path)]) == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["asyncapi.json", "openapi.json"]

    def test_no_such_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert program.main(["--write", str(tmp_path / "none")]) == 2
        assert "No such file or directory" in capsys.readouterr().err

    def test_nothing_is_wanted(self) -> None:
        with pytest.raises(SystemExit):
            program.main([])

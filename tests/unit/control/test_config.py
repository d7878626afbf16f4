"""Settings: the file, the environment, the messages, and the example that documents every key."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from control.config import Settings, is_loopback, load
from control.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "sidecall.example.toml"
HEADER = re.compile(r"(?:# )?\[+(?:[A-Za-z]+\.)*?([a-z]+)(?:\.[A-Z]+)?\]+")
"""A table by its last name; names in capitals are those that people choose."""


def write(folder: Path, text: str) -> Path:
    path = folder / "sidecall.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), environ or {})
    return str(caught.value)


def sections(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each table of `model` with the names of its keys; tables of tables are named like their key."""
    keys = set()
    for key, field in model.model_fields.items():
        annotation = field.annotation
        inner = next(
            (
                kind
                for kind in (annotation, *get_args(annotation))
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            ),
            None,
        )
        if inner is None:
            keys.add(key)
        else:
            yield from sections(inner, key)
    yield name, keys


def documented() -> dict[str, set[str]]:
    """The keys of each table of the example, commented out or not."""
    found: dict[str, set[str]] = {"": set()}
    table = ""
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if header := HEADER.fullmatch(line):
            table = header[1]
            found[table] = set()
        elif key := re.match(r"(?:# )?([a-z0-9_]+) = ", line):
            found[table].add(key[1])
    return found


def test_the_example_is_the_defaults() -> None:
    assert load(EXAMPLE, {}) == Settings()


def test_the_example_documents_every_key_and_no_other() -> None:
    assert documented() == dict(sections(Settings))


def test_each_key_of_the_example_has_a_comment() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    tables: dict[str, bool] = {}
    comment = False
    for line in lines:
        if HEADER.fullmatch(line):
            tables[line] = comment
        comment = line.startswith("# ") and not re.match(r"# (?:[a-z0-9_]+ = |\[)", line)
    assert tables
    assert all(tables.values()), tables


def test_what_the_example_comments_out_is_valid(tmp_path: Path) -> None:
    text = re.sub(
        r"^# (?=[a-z0-9_]+ = |\[)(?!webhook|secret = \"a long)",
        "",
        EXAMPLE.read_text("utf-8"),
        flags=re.MULTILINE,
    )
    settings = load(write(tmp_path, text), {})
    assert settings.trunks[0].callees == (r"^\+?\d+$",)
    assert settings.registrations[0].expires == 600
    assert settings.sip.advertise == "198.51.100.7"


def test_no_file_gives_the_defaults() -> None:
    assert load(None, {}) == Settings()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    settings = load(write(tmp_path, '[sip]\nport = 5080\naddress = "192.0.2.1"'), {})
    assert (settings.sip.port, settings.sip.address) == (5080, "192.0.2.1")
    assert settings.api == Settings().api


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize("data", [b"port = = 1", b"\xff\xfe"])
def test_a_file_that_is_not_toml(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "sidecall.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="is not TOML"):
        load(path, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sip]\nprot = 5060", "sip.prot: is not a key of this section"),
        ("[sip]\nport = 0", "sip.port: "),
        ("[sip]\nport = 65536", "sip.port: "),
        ('[api]\naddress = "0.0.0.0"', "api: address 0.0.0.0 is not loopback: set api.tokens"),
        ("[rtpengine]\nport_min = 3000\nport_max = 3002", "rtpengine: port_max must be above port_min"),
        ('[calls]\nallow = ["("]', "calls.allow.0: is not a regular expression"),
        ('[control]\nname = "a.b"', "control.name: takes 1 to 32 letters"),
        ('[records]\nurl = "ftp://a/b"', "records.url: takes http://host"),
        ('[records]\nurl = "https:///b"', "records.url: takes http://host"),
        ('[records]\nurl = "http://[::1/b"', "records.url: "),
        ('[records]\nurl = "http://a:65536/b"', "records.url: "),
        ('[records]\nheaders = { "Webhook-Id" = "1" }', "records.headers: 'Webhook-Id' is not a header"),
        ('[records]\nheaders = { Host = "a" }', "records.headers: 'Host' is not a header"),
        ('[records]\nheaders = { "a b" = "1" }', "records.headers: 'a b' is not a header"),
        ('[records]\nheaders = { a = "1\\n2" }', "records.headers: the value of a must be printable"),
        ('[[routes]]\ncallee = "x"', "routes.0: set exactly one of pool and webhook"),
        ('[[routes]]\npool = "a"\nwebhook = "http://b"', "routes.0: set exactly one"),
        ('[[trunks]]\nname = "t"\naddresses = ["192.0.2.999"]', "trunks.0.addresses.0: "),
        ("[media]\nrtp_port = 40000", "media.rtp_port: "),
        ('[calls]\ncodecs = ["g729"]', "calls.codecs.0: "),
        ("[calls]\ncodecs = []", "calls.codecs: "),
        ('[calls]\ncodecs = ["opus", "pcmu", "opus"]', "calls.codecs: names one twice"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(tmp_path: Path, text: str, words: str) -> None:
    message = refusal(tmp_path, text)
    assert words in message
    assert "\n" not in message
    assert message.startswith(str(tmp_path))


def test_all_codecs_may_be_named(tmp_path: Path) -> None:
    text = '[calls]\ncodecs = ["opus", "g722", "pcmu", "pcma", "pcmu16"]'
    assert load(write(tmp_path, text), {}).calls.codecs == ("opus", "g722", "pcmu", "pcma", "pcmu16")


def test_every_fault_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, '[sip]\nport = "x"\nwrong = 1\n[control]\nslot = 7')
    assert all(key in message for key in ("sip.port", "sip.wrong", "control.slot"))


def test_values_stay_out_of_messages(tmp_path: Path) -> None:
    text = '[[registrations]]\nname = "a"\nregistrar = "sip:b"\nusername = "c"\npassword = 271828'
    assert "271828" not in refusal(tmp_path, text)


def test_secrets_stay_out_of_dumps(tmp_path: Path) -> None:
    text = '[[trunks]]\nname = "t"\npassword = "hush"\n[[routes]]\nwebhook = "https://b"\nsecret = "hush"'
    text += '\n[records]\nsecret = "hush"\nheaders = { Authorization = "hush" }'
    assert "hush" not in repr(load(write(tmp_path, text), {}))


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[sip]\nport = 5080")
    environ = {
        "SIDECALL_SIP__PORT": "5090",
        "SIDECALL_SIP__ADDRESS": "192.0.2.9",
        "SIDECALL_API__TOKENS": '["a", "b"]',
        "SIDECALL_RUN_DIR": "/run/sidecall",
        "SIDECALL_CONFIG": "ignored here",
        "SIDECALL_URL": "for bots",
        "SIDECALL_TOKEN": "for bots",
        "OTHER": "1",
    }
    settings = load(path, environ)
    assert (settings.sip.port, settings.sip.address) == (5090, "192.0.2.9")
    assert settings.api.tokens == ("a", "b")
    assert settings.run_dir == Path("/run/sidecall")


def test_an_unknown_key_of_the_environment_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sip\.prot: is not a key"):
        load(None, {"SIDECALL_SIP__PROT": "1"})


def test_the_environment_cannot_reach_into_lists(tmp_path: Path) -> None:
    path = write(tmp_path, '[[trunks]]\nname = "t"')
    with pytest.raises(ConfigError, match="SIDECALL_TRUNKS__NAME: trunks is a list"):
        load(path, {"SIDECALL_TRUNKS__NAME": "u"})


def test_a_token_opens_the_api_to_others(tmp_path: Path) -> None:
    settings = load(write(tmp_path, '[api]\naddress = "0.0.0.0"\ntokens = ["t"]'), {})
    assert settings.api.address == "0.0.0.0"


def test_the_rpc_socket_is_absolute() -> None:
    assert Settings().rpc_socket == Path.cwd() / "run" / "kamailio.rpc"


@pytest.mark.parametrize(
    ("address", "answer"),
    [("localhost", True), ("127.3.2.1", True), ("::1", True), ("0.0.0.0", False), ("example.com", False)],
)
def test_is_loopback(address: str, answer: bool) -> None:
    assert is_loopback(address) is answer


def test_settings_do_not_change_after_start() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(Settings().sip, "port", 1)  # noqa: B010 - the type checker knows


def test_the_example_is_plain_toml() -> None:
    assert tomllib.loads(EXAMPLE.read_text("utf-8"))["sip"]["port"] == 5060

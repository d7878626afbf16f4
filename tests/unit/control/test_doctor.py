"""The doctor's findings, each from values that a machine may have."""

import importlib.metadata
import importlib.util
import resource
import socket
import sys
from pathlib import Path

import pytest

from control import doctor
from control.config import Media, Rtpengine, Settings, Sip
from control.doctor import Finding, Level
from tests.support import fakenode


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakenode.settings(tmp_path)


def with_programs(settings: Settings, name: str) -> Settings:
    update = {
        "kamailio": settings.kamailio.model_copy(update={"program": name}),
        "rtpengine": settings.rtpengine.model_copy(update={"program": name}),
    }
    return settings.model_copy(update=update)


async def test_every_subject_is_looked_at(settings: Settings) -> None:
    found = {finding.subject for finding in await doctor.run(settings)}
    assert found == {
        "python",
        "packages",
        "kamailio",
        "modules",
        "rtpengine",
        "ports",
        "open files",
        "udp buffer",
        "port range",
        "real time",
        "clock",
        "addresses",
        "espeak",
        "codecs",
    }


def test_a_finding_is_one_line() -> None:
    assert str(Finding(Level.WARNING, "clock", "wrong")) == "warning  clock         wrong"


def test_only_what_is_missing_makes_a_machine_unusable() -> None:
    findings = [Finding(Level.OK, "a", ""), Finding(Level.WARNING, "b", "")]
    assert not doctor.unusable(findings)
    assert doctor.unusable([*findings, Finding(Level.MISSING, "c", "")])


@pytest.mark.parametrize(
    ("found", "level"), [((3, 10, 9), Level.MISSING), ((3, 11, 2), Level.OK), ((3, 13), Level.OK)]
)
def test_python(found: tuple[int, ...], level: Level) -> None:
    assert doctor.python_version(found).level is level


def test_packages_are_there() -> None:
    [finding] = doctor.packages()
    assert finding.level is Level.OK


def test_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def required(_: str) -> list[str]:
        return ["aiohttp>=3", "no-such-package>=1", 'no-such-tool; extra == "dev"']

    monkeypatch.setattr(importlib.metadata, "requires", required)
    [finding] = doctor.packages()
    assert finding == Finding(Level.MISSING, "packages", "no-such-package: run `make setup`")


def test_sidecall_itself_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "requires", refuse)
    [finding] = doctor.packages()
    assert finding.level is Level.MISSING


async def test_servers_that_are_there(settings: Settings) -> None:
    assert (await doctor.kamailio(settings)).text.startswith("kamailio 9.9 at /")
    assert await doctor.rtpengine(settings) == Finding(Level.OK, "rtpengine", "99.9")


async def test_servers_that_are_missing(settings: Settings) -> None:
    lacking = with_programs(settings, "no-such-server")
    for finding in (await doctor.kamailio(lacking), await doctor.rtpengine(lacking)):
        assert finding.level is Level.MISSING
        assert "make setup" in finding.text


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("10.5.3.5-1+deb12u1", Level.OK),
        ("10.5.3.5-1+deb12u2", Level.OK),
        ("10.5.3.5-1", Level.WARNING),
        ("10.5.3.5-1+deb12u0", Level.WARNING),
        ("11.5.1.18-1", Level.WARNING),
        ("13.4.1.0", Level.WARNING),
        ("13.4.1.1", Level.OK),
        ("13.5.1.1+0~mr13.5.1.1", Level.OK),
        ("git-HEAD", Level.WARNING),
        ("", Level.WARNING),
    ],
)
def test_security_fix_of_rtpengine(version: str, level: Level) -> None:
    assert doctor.rtpengine_version(version).level is level


def test_modules_that_the_configuration_loads(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/x86_64-linux-gnu/kamailio/modules"
    folder.mkdir(parents=True)
    (folder / "tm.so").touch()
    finding = doctor.modules(settings, tmp_path)
    assert finding.level is Level.MISSING
    assert "evapi" in finding.text
    assert "tm," not in finding.text


def test_modules_of_a_configuration_that_cannot_be_rendered(settings: Settings) -> None:
    finding = doctor.modules(settings.model_copy(update={"sip": Sip(user_agent='"')}))
    assert finding.level is Level.MISSING
    assert "quotes" in finding.text


def test_module_names() -> None:
    text = 'loadmodule "tm.so"\n  loadmodule "path/to/evapi"\n# loadmodule "not.so"\n'
    assert doctor.needed_modules(text, {"tm", "evapi"}).level is Level.OK
    assert "evapi" in doctor.needed_modules(text, {"tm"}).text


def test_free_ports(settings: Settings) -> None:
    [finding] = doctor.sockets(settings)
    assert finding.level is Level.OK


def test_a_port_in_use(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.api.port)):
        [finding] = doctor.sockets(settings)
    assert finding.level is Level.WARNING
    assert "api.port" in finding.text


def test_a_bad_address(settings: Settings) -> None:
    bad = settings.model_copy(update={"sip": Sip(address="nowhere")})
    assert [finding.level for finding in doctor.sockets(bad)] == [Level.MISSING]
    assert [finding.level for finding in doctor.addresses(bad)] == [Level.MISSING]


@pytest.mark.parametrize(
    ("limit", "level"),
    [(8500, Level.OK), (8499, Level.WARNING), (100, Level.WARNING), (resource.RLIM_INFINITY, Level.OK)],
)
def test_open_files(limit: int, level: Level) -> None:
    assert doctor.open_files(limit, Settings()).level is level


def test_how_many_calls_the_open_files_allow() -> None:
    assert "1024 are enough for 131 calls, not 2000" in doctor.open_files(1024, Settings()).text


def test_receive_buffer() -> None:
    small = doctor.receive_buffer(212992, Settings(media=Media(slots=100)))
    assert small.level is Level.WARNING
    assert "net.core.rmem_max=409600" in small.text
    assert doctor.receive_buffer(409600, Settings(media=Media(slots=100))).level is Level.OK


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(), ""),
        (Settings(rtpengine=Rtpengine(port_min=30000, port_max=40000)), "rtpengine.port_min"),
        (Settings(rtpengine=Rtpengine(port_min=30000, port_max=32768)), "rtpengine.port_min"),
        (Settings(sip=Sip(port=60999)), "sip.port"),
        (Settings(sip=Sip(port=61000)), ""),
    ],
)
def test_ephemeral_ports(settings: Settings, name: str) -> None:
    finding = doctor.ephemeral_ports([32768, 60999], settings)
    assert (finding.level is Level.WARNING) is bool(name)
    assert finding.text.startswith(name)


@pytest.mark.parametrize(
    ("capabilities", "priority", "level"),
    [
        (0, 0, Level.WARNING),
        (1 << 23, 0, Level.OK),
        (0, 10, Level.OK),
        (0, 9, Level.WARNING),
        (0, -1, Level.OK),
        (1 << 22, 0, Level.WARNING),
    ],
)
def test_real_time(capabilities: int, priority: int, level: Level) -> None:
    assert doctor.real_time(capabilities, priority).level is level


def test_clock() -> None:
    assert doctor.clock(0).level is Level.OK
    assert doctor.clock(5).level is Level.WARNING


@pytest.mark.parametrize(
    ("found", "sip", "level", "words"),
    [
        (["127.0.0.1"], Sip(), Level.WARNING, "only this machine"),
        (["127.0.0.1", "10.1.2.3"], Sip(), Level.OK, "behind NAT, set sip.advertise"),
        (["127.0.0.1", "10.1.2.3"], Sip(advertise="8.8.8.8"), Level.OK, "shown to others as 8.8.8.8"),
        (["127.0.0.1", "8.8.8.8"], Sip(), Level.OK, "127.0.0.1, 8.8.8.8"),
    ],
)
def test_addresses(
    found: list[str], sip: Sip, level: Level, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "sip_addresses", lambda _: found)
    [finding] = doctor.addresses(Settings(sip=sip))
    assert finding.level is level
    assert words in finding.text


def test_voice_data() -> None:
    assert doctor.espeak().level is Level.OK


def test_no_voice_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert doctor.espeak().level is Level.MISSING


@pytest.mark.daemons
async def test_the_servers_of_this_machine() -> None:
    assert (await doctor.kamailio(Settings())).level is Level.OK
    assert (await doctor.rtpengine(Settings())).level is not Level.MISSING
    assert doctor.modules(Settings()).level is Level.OK


def test_the_suite_runs_on_a_python_that_is_fit() -> None:
    assert doctor.python_version(sys.version_info[:3]).level is Level.OK

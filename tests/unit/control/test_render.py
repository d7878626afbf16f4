import configparser
import stat
from pathlib import Path
from typing import Any

import pytest

from control import network
from control.config import Calls, Kamailio, Rtpengine, Settings, Sip, Trunk
from control.errors import ConfigError
from control.render import MAX_MESSAGE, render, write


def settings(**sections: Any) -> Settings:
    return Settings(**{"sip": Sip(address="192.0.2.1"), **sections})


def kamailio(**sections: Any) -> list[str]:
    """Lines of kamailio.cfg, without what surrounds them."""
    return [line.strip() for line in render(settings(**sections))["kamailio.cfg"].splitlines()]


def rtpengine(**sections: Any) -> configparser.SectionProxy:
    parser = configparser.ConfigParser()
    parser.read_string(render(settings(**sections))["rtpengine.conf"])
    return parser["rtpengine"]


def test_kamailio_listens_on_the_address_given() -> None:
    lines = kamailio(sip=Sip(address="192.0.2.1", port=5070))
    assert [line for line in lines if line.startswith("listen")] == [
        "listen=udp:192.0.2.1:5070",
        "listen=tcp:192.0.2.1:5070",
    ]


def test_only_addresses_that_others_see_are_advertised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "primary_address", lambda: "10.0.0.5")
    sip = Sip(advertise="203.0.113.9")
    assert [line for line in kamailio(sip=sip) if line.startswith("listen")] == [
        "listen=udp:127.0.0.1:5060",
        "listen=tcp:127.0.0.1:5060",
        "listen=udp:10.0.0.5:5060 advertise 203.0.113.9:5060",
        "listen=tcp:10.0.0.5:5060 advertise 203.0.113.9:5060",
    ]
    assert rtpengine(sip=sip)["interface"] == "pub/10.0.0.5!203.0.113.9;int/127.0.0.1"


def test_a_host_with_loopback_only_uses_it_twice() -> None:
    sip = Sip(address="127.0.0.1", advertise="203.0.113.9")
    assert rtpengine(sip=sip)["interface"] == "pub/127.0.0.1;int/127.0.0.1"


def test_processes_memory_and_channels(tmp_path: Path) -> None:
    lines = kamailio(run_dir=tmp_path, kamailio=Kamailio(children=3, shared_memory=99, evapi_port=8555))
    assert {"children=3", "tcp_children=3", "shm_mem_size=99", f"pv_buffer_size={MAX_MESSAGE * 2}"} < set(
        lines
    )
    assert f'modparam("jsonrpcs", "dgram_socket", "{tmp_path}/kamailio.rpc")' in lines
    assert 'modparam("evapi", "bind_addr", "127.0.0.1:8555")' in lines


def test_kamailio_is_more_patient_than_control() -> None:
    lines = kamailio(calls=Calls(answer_timeout=30, ring_timeout=90))
    assert "$var(patience) = 35000;" in lines
    assert 'modparam("tm", "fr_inv_timer", 95000)' in lines
    assert 'modparam("tm", "max_inv_lifetime", 155000)' in lines
    assert rtpengine(calls=Calls(answer_timeout=30, ring_timeout=90))["offer-timeout"] == "155"


@pytest.mark.parametrize(
    ("level", "debug", "log_level"),
    [("debug", "2", "7"), ("info", "1", "5"), ("warning", "0", "4"), ("error", "-1", "3")],
)
def test_log_levels(level: str, debug: str, log_level: str) -> None:
    assert f"debug={debug}" in kamailio(log_level=level)
    assert rtpengine(log_level=level)["log-level"] == log_level


def test_the_flood_guard_spares_loopback_and_trunks() -> None:
    trunk = Trunk(name="t", addresses=("198.51.100.9", "203.0.113.17/24", "2001:db8::/32"))
    lines = kamailio(kamailio=Kamailio(flood_limit=77), trunks=(trunk,))
    assert [line for line in lines if "src_ip" in line] == [
        "if (src_ip == 127.0.0.0/8) return;",
        "if (src_ip == 198.51.100.9/32) return;",
        "if (src_ip == 203.0.113.0/24) return;",
    ]
    assert 'modparam("pike", "reqs_density_per_unit", 77)' in lines


def test_no_flood_guard() -> None:
    text = "\n".join(kamailio(kamailio=Kamailio(flood_limit=0)))
    assert "pike" not in text
    assert "FLOOD" not in text


def test_no_name_for_strangers() -> None:
    lines = kamailio(sip=Sip(address="192.0.2.1", user_agent=""))
    assert "server_signature=no" in lines
    assert not any(line.startswith(("server_header", "user_agent_header")) for line in lines)


def test_rtpengine() -> None:
    section = rtpengine(
        rtpengine=Rtpengine(
            port_min=30000, port_max=30100, max_sessions=7, ng_port=1, cli_port=2, http_port=3
        )
    )
    assert (section["port-min"], section["port-max"], section["max-sessions"]) == ("30000", "30100", "7")
    assert (section["listen-ng"], section["listen-cli"], section["listen-http"]) == (
        "127.0.0.1:1",
        "127.0.0.1:2",
        "127.0.0.1:3",
    )
    assert (section["table"], section["timeout"], section["tos"]) == ("-1", "60", "184")
    assert section["endpoint-learning"] == "heuristic"


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"sip": Sip(address="192.0.2.1", user_agent='a"b')}, "cannot be written"),
        ({"sip": Sip(address="192.0.2.1", user_agent="a\nb")}, "cannot be written"),
        ({"sip": Sip(address="192.0.2.1", user_agent="a\\b")}, "cannot be written"),
        ({"sip": Sip(address="192.0.2.1", advertise="a;b")}, r"sip\.advertise"),
        ({"sip": Sip(address="0.0.0.0")}, r"sip\.address"),
        ({"run_dir": Path("/tmp/" + "x" * 100)}, "too long for a socket"),
        ({"run_dir": Path('/tmp/a"b')}, "cannot be written"),
    ],
)
def test_values_that_cannot_be_rendered(sections: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        render(settings(**sections))


def test_write_makes_private_files(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    paths = write(settings(run_dir=folder))
    assert [path.name for path in paths] == ["kamailio.cfg", "rtpengine.conf"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert sorted(folder.iterdir()) == paths


def test_write_replaces_what_was_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "kamailio.cfg").write_text("old")
    (tmp_path / "kamailio.cfg").chmod(0o644)
    path = write(settings(run_dir=tmp_path))[0]
    assert path.read_text().startswith("#!KAMAILIO\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"run_dir: .*cannot be written"):
        write(settings(run_dir=tmp_path / "file"))

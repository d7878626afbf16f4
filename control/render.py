"""The configuration files of Kamailio and rtpengine, rendered from the settings."""

import ipaddress
import os
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2

from control.config import Settings, is_loopback
from control.errors import ConfigError
from control.network import sip_addresses
from control.sip.dialog import ALLOW

TEMPLATES = {"kamailio.cfg": "kamailio/kamailio.cfg.j2", "rtpengine.conf": "rtpengine/rtpengine.conf.j2"}
"""File in the run folder: its template, relative to the project."""

EXEMPT = ("127.0.0.0/8",)
"""Networks that the flood guard never bans, besides those of the trunks."""

MAX_MESSAGE = 16384
"""Bytes of the largest SIP message taken."""

ANSWER_MARGIN = 5.0
RING_MARGIN = 5.0
"""Seconds that Kamailio waits longer than control, which gives up first."""
REPLY_TIMEOUT = 5.0
"""Seconds that control has to answer a request within a dialog."""
LIFETIME_MARGIN = 60.0
"""Seconds that an INVITE transaction outlives its longest timer."""
OFFER_MARGIN = 60.0
"""Seconds that rtpengine keeps an offer longer than control waits for the answer."""

_MAX_SOCKET_PATH = 97
"""Bytes; a unix socket takes 107, and the names of our own ends are up to 10 longer."""


def render(settings: Settings) -> dict[str, str]:
    """The text of each file by its name.

    Raises ConfigError when a setting cannot be written into them.
    """
    socket_path = os.fsencode(settings.rpc_socket)
    if len(socket_path) > _MAX_SOCKET_PATH:
        raise ConfigError(
            f"run_dir: {settings.rpc_socket} is too long for a socket "
            f"({len(socket_path)} of {_MAX_SOCKET_PATH} bytes): choose a shorter folder"
        )
    addresses = sip_addresses(settings)
    calls = settings.calls
    longest = max(calls.answer_timeout + ANSWER_MARGIN, calls.ring_timeout + RING_MARGIN)
    values = {
        "settings": settings,
        "addresses": addresses,
        "public": addresses[-1],
        "exempt": [*EXEMPT, *_trunk_networks(settings)],
        "allow": ALLOW,
        "max_message": MAX_MESSAGE,
        "answer_ms": _milliseconds(calls.answer_timeout + ANSWER_MARGIN),
        "ring_ms": _milliseconds(calls.ring_timeout + RING_MARGIN),
        "reply_ms": _milliseconds(REPLY_TIMEOUT),
        "lifetime_ms": _milliseconds(longest + LIFETIME_MARGIN),
        "offer_timeout": round(longest + OFFER_MARGIN),
    }
    templates = _environment()
    return {name: templates.get_template(source).render(values) for name, source in TEMPLATES.items()}


def write(settings: Settings) -> list[Path]:
    """Render every file into ``run_dir`` (folder 0700, files 0600) and return the paths.

    A file is replaced at once, so that no reader sees half of it. Raises ConfigError.
    """
    texts = render(settings)
    try:
        settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.run_dir.chmod(0o700)
        return [_replace(settings.run_dir / name, text) for name, text in texts.items()]
    except OSError as error:
        raise ConfigError(f"run_dir: {error.filename} cannot be written: {error.strerror}") from error


def _replace(path: Path, text: str) -> Path:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return fresh.replace(path)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 - no HTML
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quotable": _quotable, "host": _host, "loopback": is_loopback}
    return environment


def _quotable(value: object) -> str:
    """`value`, if it can stand between double quotes in kamailio.cfg."""
    text = str(value)
    if not text.isprintable() or '"' in text or "\\" in text:
        raise ConfigError(
            f"{text!r} cannot be written into kamailio.cfg: use no quotes, backslashes or control characters"
        )
    return text


def _host(value: str) -> str:
    """`value`, if it is an IPv4 address or a host name."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value):
        raise ConfigError(f"sip.advertise: {value!r} is no IPv4 address or host name")
    return value


def _trunk_networks(settings: Settings) -> Iterator[str]:
    """The IPv4 networks of all trunks, in the form of kamailio.cfg."""
    for trunk in settings.trunks:
        for text in trunk.addresses:
            network = ipaddress.ip_network(text, strict=False)
            if network.version == 4:
                yield str(network)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

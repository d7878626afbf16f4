"""Settings: one file ``sidecall.toml`` for every process, overridden by ``SIDECALL_SECTION__KEY``.

``sidecall.example.toml`` documents every key for people; the models below are the truth.
Unknown keys are errors.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from control.errors import ConfigError, UriError
from control.models.config import ModelEntry, PlainName
from control.sip.uri import parse_uri
from control.speech_config import Provider, Speech


def is_loopback(address: str) -> bool:
    """Whether `address` is a loopback address or ``localhost``."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


Port = Annotated[int, Field(ge=1, le=65535)]


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    return value


def _network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", value):
        raise ValueError("takes 1 to 32 letters, digits, '-' or '_'")
    return value


def _sip_uri(value: str) -> str:
    try:
        uri = parse_uri(value)
    except UriError as error:
        raise ValueError(str(error)) from error
    if uri.scheme != "sip" or uri.user:
        raise ValueError("takes sip:host[:port][;transport=tcp]")
    return value


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", value):
        raise ValueError('takes "https://host[:port]", or "*"')
    return value


def _ice_url(value: str) -> str:
    if not re.fullmatch(r"(stuns?|turns?):\S+", value):
        raise ValueError("takes stun:HOST[:PORT], turn:HOST[:PORT] or turns:HOST[:PORT] (RFC 7064, RFC 7065)")
    return value


Origin = Annotated[str, AfterValidator(_origin)]
IceUrl = Annotated[str, AfterValidator(_ice_url)]
Pattern = Annotated[str, AfterValidator(_pattern)]
SipHost = Annotated[str, AfterValidator(_sip_uri)]
Network = Annotated[str, AfterValidator(_network)]
Name = Annotated[str, AfterValidator(_name)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values never change after start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Api(Section):
    """Where bots connect (WebSocket and REST)."""

    address: str = "127.0.0.1"
    port: Port = 8080
    tokens: tuple[str, ...] = ()
    """Bearer tokens without a name or limits; with none at all the API binds loopback only."""
    ping: Annotated[int, Field(ge=0, le=3600)] = 20
    """Seconds between WebSocket pings where a bot does not say; 0 sends none."""
    origins: tuple[Origin, ...] = ()
    """Web pages that may use the API beside those of its own host: ``https://host[:port]``, or ``*`` for all."""
    max_command: Annotated[int, Field(ge=65_536, le=16_777_216)] = 1_048_576
    """Bytes of one message of a bot."""
    commands_per_second: Annotated[float, Field(gt=0, le=10_000)] = 100.0
    """Of each connection, and twice as many at once."""


class Token(Section):
    """A bearer token with a name and limits; what is absent is not limited."""

    name: Name
    token: str = Field(min_length=1, repr=False)
    max_calls: Annotated[int, Field(ge=0)] | None = None
    """Sessions of this node at the same time."""
    commands_per_second: Annotated[float, Field(gt=0)] | None = None
    """Of each connection; api.commands_per_second when absent."""
    callees: tuple[Pattern, ...] | None = None
    """Patterns of callees (full URI or bare number) that may be dialled or referred to."""
    pools: tuple[Name, ...] | None = None
    """Pools (``route``) in which bots may wait for calls."""


class IceServer(Section):
    """A STUN or TURN server that browsers are told of."""

    urls: Annotated[tuple[IceUrl, ...], Field(min_length=1)]
    username: str | None = None
    credential: str | None = Field(default=None, repr=False)


class Ice(Section):
    """What ``GET /iceservers`` tells browsers."""

    servers: tuple[IceServer, ...] = ()
    turn_urls: tuple[IceUrl, ...] = ()
    """TURN servers that take short-lived credentials (coturn: use-auth-secret)."""
    turn_secret: str | None = Field(default=None, min_length=1, repr=False)
    """The secret that they share with us (coturn: static-auth-secret)."""
    turn_ttl: Annotated[int, Field(ge=60, le=604_800)] = 3600
    """Seconds that such credentials are valid."""

    @model_validator(mode="after")
    def _secret_for_turn(self) -> Self:
        if self.turn_urls and self.turn_secret is None:
            raise ValueError(
                "turn_urls needs turn_secret; servers without credentials go into [[ice.servers]]"
            )
        return self


class Sip(Section):
    """Kamailio's listening sockets."""

    address: str = "auto"
    """``auto``: loopback and the address of the default route; or one IPv4 address."""
    advertise: str | None = None
    """Public address when this host is behind 1:1 NAT."""
    port: Port = 5060
    user_agent: str = "Sidecall"


class Kamailio(Section):
    """The kamailio process and our channels to it."""

    program: str = "kamailio"
    evapi_port: Port = 8448
    children: Annotated[int, Field(ge=1, le=64)] = 2
    shared_memory: Annotated[int, Field(ge=32)] = 256
    """MB; a finished transaction holds about 14 kB for 32 s: 1 MB for each call per second, and the base."""
    flood_limit: Annotated[int, Field(ge=0)] = 300
    """Requests that one source may send in 2 s before it is ignored for 60 s; 0 = no limit."""


class Rtpengine(Section):
    """The rtpengine process and our channel to it."""

    program: str = "rtpengine"
    ng_port: Port = 22222
    cli_port: Port = 22224
    """Loopback TCP port of its command line."""
    http_port: Port = 22225
    """Loopback TCP port of ``/metrics`` (Prometheus)."""
    port_min: Port = 20000
    port_max: Port = 29999
    max_sessions: Annotated[int, Field(ge=1)] = 2000

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.port_max - self.port_min < 3:
            raise ValueError("port_max must be above port_min by at least 3")
        return self


class Control(Section):
    """The control process."""

    name: Name = "a"
    """Written into our SIP tags, so that in-dialog requests find their owner."""
    slot: Annotated[int, Field(ge=0, le=1)] = 0
    """Which of Kamailio's two control slots this process takes."""
    port: Port = 8090
    """Leg API, /healthz, /readyz, /metrics; loopback."""


class Media(Section):
    """The media workers."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    rtp_port: Annotated[int, Field(ge=1024, le=32767)] = 19000
    """Port of worker 0; worker n takes rtp_port + 2 n, and the port above for RTCP. Below the ephemeral range."""
    slots: Annotated[int, Field(ge=1, le=10000)] = 1000
    """Calls that one worker takes at most."""
    sounds: Path = Path("sounds")
    """Folder that local files of ``play`` are taken from; nothing outside it is read."""
    realtime: Literal["auto", "on", "off"] = "auto"
    """Whether workers take real-time priority (SCHED_FIFO): auto, where it is permitted; on, or do not start."""
    recordings: Path = Path("recordings")
    """Folder that recordings are written to; nothing outside it is."""
    cache: Path = Path("cache")
    """Folder of fetched files and spoken texts that may be wanted again."""
    cache_bytes: Annotated[int, Field(ge=0)] = 500_000_000
    """Size of that folder; what was not used for longest goes. 0: nothing is kept, in memory neither."""
    allow_private_urls: bool = False
    """Whether ``play`` may fetch from private and loopback addresses."""
    max_file_bytes: Annotated[int, Field(ge=1)] = 20_000_000


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("takes http://host[:port]/path, or https")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or _ours(name.lower()):
            raise ValueError(f"{name!r} is not a header that can be set")
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"the value of {name} must be printable ASCII")
    return value


_OUR_HEADERS = frozenset({"content-type", "content-length", "transfer-encoding", "host"})


def _ours(header: str) -> bool:
    return header in _OUR_HEADERS or header.startswith("webhook-")


HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpHeaders = Annotated[dict[str, str], AfterValidator(_headers)]


class Records(Section):
    """What is kept of calls, beside their sound."""

    folder: Path = Path("records")
    """Folder of event dumps, call records and the spool; nothing outside it is written."""
    dump: bool = True
    """Whether commands and events of sessions are written down, unless a bot says ``dump=false``."""
    cdr: bool = True
    """Whether a record of each call is kept in the folder."""
    url: HttpUrl | None = None
    """URL that gets a POST with the record of each call."""
    secret: str | None = Field(default=None, repr=False)
    """Signs it (Standard Webhooks)."""
    headers: HttpHeaders = Field(default_factory=dict, repr=False)
    """Further headers of the POST."""


def _once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("names one twice")
    return values


Codec = Literal["pcmu", "pcma", "g722", "opus", "pcmu16"]
Codecs = Annotated[tuple[Codec, ...], Field(min_length=1), AfterValidator(_once)]


class Calls(Section):
    """How calls are handled."""

    answer_timeout: Annotated[float, Field(gt=0, le=600)] = 50.0
    """Seconds that an incoming call waits for a bot's ``accept`` before it is refused with 480."""
    pool_wait: Annotated[float, Field(ge=0, le=60)] = 1.0
    """Seconds that an incoming call waits for a bot to come to its pool before it is refused with 480."""
    offer_timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Seconds after which a call that a bot neither rings nor accepts is offered to another bot as well."""
    ring_timeout: Annotated[float, Field(gt=0, le=600)] = 120.0
    """Seconds that an outgoing call rings before it is cancelled (reported as 408)."""
    allow: tuple[Pattern, ...] = ()
    """Patterns of SIP URIs that bots may dial directly, without a trunk; none by default."""
    codecs: Codecs = ("opus", "g722", "pcmu", "pcma")
    """Codecs that calls may have, in the order of our offers; in an incoming call the caller's order decides."""


class Trunk(Section):
    """A carrier or PBX: who may send us calls, and where calls go out."""

    name: Name
    addresses: tuple[Network, ...] = ()
    """Networks whose INVITEs belong to this trunk."""
    gateway: SipHost | None = None
    """``sip:host[:port][;transport=tcp]`` that outgoing calls are sent to."""
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    realm: str | None = None
    caller: str | None = None
    """From URI of outgoing calls when the bot gives none."""
    callees: tuple[Pattern, ...] = ()
    """Patterns of callees (full URI or bare number) that go out here; first trunk that matches wins."""


class Registration(Section):
    """An account that we register at a PBX or carrier."""

    name: Name
    registrar: SipHost
    """``sip:host[:port][;transport=tcp]``."""
    username: str
    password: str = Field(repr=False)
    domain: str | None = None
    """Domain of the address of record; the registrar's host when absent."""
    realm: str | None = None
    expires: Annotated[int, Field(ge=30, le=86400)] = 600
    retry: Annotated[float, Field(ge=0.1, le=3600)] = 30.0
    """Seconds until the next try after a failure; doubles up to 10 minutes."""


class Route(Section):
    """Which bot takes which incoming call; the first route that matches wins."""

    trunk: Name | None = None
    """Name of the trunk or registration the call came by."""
    caller: Pattern | None = None
    callee: Pattern | None = None
    """Matched (search) on the user part and on the whole URI."""
    pool: Name | None = None
    """Waiting bots: sockets opened with ``/call/sip?route=POOL``."""
    webhook: str | None = None
    """URL that gets a POST per call; the bot then connects with the dialogId."""
    secret: str | None = Field(default=None, repr=False)
    """Signs the webhook (Standard Webhooks)."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.pool is None) == (self.webhook is None):
            raise ValueError("set exactly one of pool and webhook")
        return self


class Up(Section):
    """What ``sidecall up`` starts beside the servers."""

    bot: str | None = "examples/voice.py"
    """Python script of the example bot, relative to the project; an empty string or --no-bot starts none."""


class Settings(Section):
    """The whole of sidecall.toml."""

    run_dir: Path = Path("run")
    """Folder of rendered configuration and sockets."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    api: Api = Api()
    tokens: tuple[Token, ...] = ()
    ice: Ice = Ice()
    sip: Sip = Sip()
    kamailio: Kamailio = Kamailio()
    rtpengine: Rtpengine = Rtpengine()
    control: Control = Control()
    media: Media = Media()
    records: Records = Records()
    speech: Speech = Speech()
    providers: dict[str, Provider] = Field(default_factory=dict)
    models: dict[PlainName, ModelEntry] = Field(default_factory=dict)
    calls: Calls = Calls()
    trunks: tuple[Trunk, ...] = ()
    registrations: tuple[Registration, ...] = ()
    routes: tuple[Route, ...] = (Route(callee="^bot$", pool="default"),)
    up: Up = Up()

    @model_validator(mode="after")
    def _loopback_without_token(self) -> Self:
        if not self.has_tokens and not is_loopback(self.api.address):
            raise ValueError(
                f"api: address {self.api.address} is not loopback: set api.tokens or [[tokens]], or bind 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        names = [token.name for token in self.tokens]
        texts = [*self.api.tokens, *(token.token for token in self.tokens)]
        if len(set(names)) != len(names) or len(set(texts)) != len(texts):
            raise ValueError("tokens: two have the same name or the same token")
        return self

    @property
    def has_tokens(self) -> bool:
        """Whether the API asks for one."""
        return bool(self.api.tokens or self.tokens)

    @property
    def own_token(self) -> str | None:
        """A token by which our own processes use the API; one without limits where there is one."""
        return next(iter((*self.api.tokens, *(token.token for token in self.tokens))), None)

    @property
    def rpc_socket(self) -> Path:
        """Unix datagram socket of Kamailio's JSON-RPC."""
        return (self.run_dir / "kamailio.rpc").absolute()

    @property
    def speech_socket(self) -> Path:
        """Unix stream socket of the speech process."""
        return (self.run_dir / "speech.sock").absolute()


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from `path` (None: defaults) and the environment.

    Raises ConfigError, naming file and key.
    """
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: is not TOML: {error}") from error
    _overlay(data, environ)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from None


_NO_KEYS = {"SIDECALL_CONFIG", "SIDECALL_URL", "SIDECALL_TOKEN"}
"""The path of the file, and what example bots read: where Sidecall is and their token."""


def _overlay(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put SIDECALL_KEY and SIDECALL_SECTION__KEY into `data`; a value that is TOML is taken as TOML."""
    for name, text in environ.items():
        if not name.startswith("SIDECALL_") or name in _NO_KEYS:
            continue
        *sections, key = name.removeprefix("SIDECALL_").lower().split("__")
        table = data
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{name}: {section} is a list or a value, it takes no key by environment")
        try:
            table[key] = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            table[key] = text


def _explain(error: ValidationError, path: Path | None) -> str:
    """One sentence for each fault; values are left out because they may be secrets."""
    faults = []
    for fault in error.errors(include_input=False, include_url=False):
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        what = "is not a key of this section" if fault["type"] == "extra_forbidden" else fault["msg"]
        faults.append(f"{where}: {what.removeprefix('Value error, ')}")
    return f"{path or 'configuration'}: " + "; ".join(faults)

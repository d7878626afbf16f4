"""Every error that Sidecall raises on purpose.

::

    SidecallError
    ├── ConfigError              a key of sidecall.toml (or of the environment) is wrong
    ├── SetupError               this machine lacks something: a program, a free port, a right
    ├── SipError                 a SIP message or value breaks its grammar (RFC 3261)
    │   ├── SipParseError        bytes that are no SIP message
    │   ├── UriError             text that is no SIP URI or name-addr
    │   └── DigestError          a challenge we cannot answer (RFC 7616, RFC 8760)
    ├── SdpError                 a session description we cannot use (RFC 8866)
    │   ├── NoAudioError         it holds no usable audio stream (→ 488)
    │   └── UnsupportedCodecError  none of its codecs is ours (→ 488)
    ├── NgError                  rtpengine refused a command
    │   └── NgTimeoutError       rtpengine did not answer
    ├── KamailioError            Kamailio refused a command
    │   └── KamailioTimeoutError Kamailio did not answer
    ├── ResolveError             a host name that has no IPv4 address
    ├── UnreachableError         a SIP request cannot be sent
    ├── WebhookError             a bot's server does not take a call
    ├── LegError                 control refused what a media worker asked of a leg
    ├── CommandError             a bot's command cannot be carried out
    └── MediaError               audio cannot be produced
        ├── AudioFileError       a file cannot be played
        ├── SpeechError          speech cannot be made or recognised
        │   └── ProviderError    a speech provider refused, failed or went silent
        ├── RecordingError       a recording cannot be made
        └── EngineFullError      no slot is left on this worker

Each message says what was wrong, where, and what to do; it is fit to be shown to the one who caused it.
"""

from enum import IntEnum


class SidecallError(Exception):
    """Base of all errors below."""


class ConfigError(SidecallError):
    """A key of the configuration is unknown or has a bad value; names the key."""


class SetupError(SidecallError):
    """This machine cannot run what was asked: names the program, port, file or right that is missing."""


class SipError(SidecallError):
    """A SIP value breaks its grammar (RFC 3261 section 25)."""


class SipParseError(SipError):
    """Bytes that are not a SIP message."""


class UriError(SipError):
    """Text that is not a SIP URI, tel URI or name-addr."""


class DigestError(SipError):
    """A challenge that cannot be answered: unknown algorithm, qop or scheme, or no credentials."""


class SdpError(SidecallError):
    """A session description that cannot be parsed or used."""


class NoAudioError(SdpError):
    """The description has no audio stream that can be answered; the leg is refused with 488."""


class UnsupportedCodecError(SdpError):
    """The audio stream has none of our codecs; the leg is refused with 488."""


class NgError(SidecallError):
    """rtpengine answered a command with an error."""


class NgTimeoutError(NgError):
    """rtpengine did not answer after all retransmissions."""


class KamailioError(SidecallError):
    """Kamailio answered a command with an error; ``code`` is its JSON-RPC error code."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class KamailioTimeoutError(KamailioError):
    """Kamailio did not answer a command in time; whether it was carried out is unknown."""


class ResolveError(SidecallError):
    """A host name has no IPv4 address, or the name service does not answer."""


class UnreachableError(SidecallError):
    """A SIP request could not be handed to Kamailio; its machine goes on as after a timeout."""


class WebhookError(SidecallError):
    """No answer of a bot's HTTP server says that it takes the call."""


class LegErrorCode(IntEnum):
    """Codes of the leg API; below -32000 the meanings of JSON-RPC 2.0, above them ours."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    NOT_CONNECTED = -32001
    NO_SUCH_LEG = 404
    FORBIDDEN = 403
    CONFLICT = 409
    TOO_MANY = 429
    NOT_ACCEPTABLE = 488
    UNAVAILABLE = 503


class LegError(SidecallError):
    """Control refused a request about a leg (or cannot be reached)."""

    def __init__(self, code: LegErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class CommandError(SidecallError):
    """A bot's command cannot be carried out; becomes an ``error`` event, the call goes on.

    ``code`` follows HTTP: 400 malformed, 404 nothing to act on, 409 wrong moment, 501 not offered.
    """

    def __init__(self, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.code = code


class MediaError(SidecallError):
    """Audio cannot be produced.

    ``code`` follows HTTP: 403 not allowed, 404 not there, 408 or 504 too late, 413 too large, 415 no audio,
    500 failed, 501 not offered, 502 another server failed.
    """

    def __init__(self, message: str, code: int = 500) -> None:
        super().__init__(message)
        self.code = code


class AudioFileError(MediaError):
    """A file cannot be fetched, read or decoded."""


class SpeechError(MediaError):
    """Speech cannot be made or recognised."""


class ProviderError(SpeechError):
    """A speech provider refused, failed or went silent; names the provider.

    ``retry``: whether the same may succeed a moment later; not when credentials or parameters are refused.
    """

    def __init__(self, message: str, code: int = 502, *, retry: bool = True) -> None:
        super().__init__(message, code)
        self.retry = retry


class RecordingError(MediaError):
    """A call cannot be recorded as asked for."""


class EngineFullError(MediaError):
    """Every slot of this worker is taken."""

"""Tasks on DashScope, the model service of Alibaba Cloud, as recognition and synthesis share them.

A connection carries one task. We send ``run-task`` and wait for ``task-started``; then audio (binary) or texts
(``continue-task``), at last ``finish-task``. Results come as ``result-generated`` and as binary, the end as
``task-finished`` or ``task-failed``.

Sources: https://www.alibabacloud.com/help/en/model-studio/websocket-for-paraformer-real-time-service and
https://www.alibabacloud.com/help/en/model-studio/cosyvoice-websocket-api.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from control.errors import ProviderError
from media.api.options import Provider
from media.speech.link import Link
from media.speech.provider import Need

NAME = "aliyun"
KEY = Need("secret_key", "DASHSCOPE_API_KEY")
WORKSPACE = Need("app_id", "DASHSCOPE_WORKSPACE_ID")
"""A workspace of the account, where the key is not of the default one."""
PATH = "/api-ws/v1/inference"
HOSTS = {"cn-beijing": "dashscope.aliyuncs.com", "ap-southeast-1": "dashscope-intl.aliyuncs.com"}
REGION = "cn-beijing"
_SHOWN = 200
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

T = TypeVar("T")


def check(option: Provider) -> None:
    """Raise ProviderError when the key is missing, or the region or the endpoint is none."""
    if not option.secret_key:
        raise ProviderError(f"{NAME}: secretKey is missing: set it, or {KEY.env}", 401, retry=False)
    if option.endpoint is None and (option.region or REGION) not in HOSTS:
        raise ProviderError(f"{NAME}: region must be one of {', '.join(HOSTS)}", 400, retry=False)
    address(option)


def address(option: Provider) -> str:
    """The URL of the WebSocket. Raises ProviderError when the endpoint is no URL."""
    if option.endpoint is None:
        return f"wss://{HOSTS[option.region or REGION]}{PATH}"
    try:
        parts = urlsplit(option.endpoint)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ProviderError(f"{NAME}: endpoint must be a URL with ws, wss, http or https", 400, retry=False)
    path = PATH if parts.path in ("", "/") else parts.path
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def headers(option: Provider) -> dict[str, str]:
    """The headers of the handshake."""
    found = {"Authorization": f"Bearer {option.secret_key}", "X-DashScope-DataInspection": "enable"}
    return found | ({"X-DashScope-WorkSpace": option.app_id} if option.app_id else {})


def hints(option: Provider) -> dict[str, object]:
    """The option's language as a parameter: ``en`` for ``en-US``; nothing for none and ``auto``."""
    language = (option.language or "auto").replace("_", "-").split("-")[0].lower()
    return {} if language == "auto" else {"language_hints": [language]}


@dataclass(frozen=True, slots=True)
class Started:
    """The task may be given its input."""


@dataclass(frozen=True, slots=True)
class Result:
    """Something was recognised or made; `output` is the vendor's object."""

    output: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """All input was worked off."""


Event = Started | Result | Finished


class State(Enum):
    """How far a task is."""

    ASKED = "asked"
    """``run-task`` was sent."""
    RUNNING = "running"
    FINISHING = "finishing"
    """``finish-task`` was sent."""
    OVER = "over"


_NEXT = {
    State.ASKED: {State.RUNNING},
    State.RUNNING: {State.FINISHING, State.OVER},
    State.FINISHING: {State.OVER},
    State.OVER: set[State](),
}


class Task:
    """One task: makes the messages that are sent, reads those that come.

    `kind` is ``asr`` or ``tts``, `function` what the vendor calls it.
    """

    def __init__(self, kind: str, function: str, model: str, parameters: Mapping[str, object]) -> None:
        self.id = uuid.uuid4().hex
        self.state = State.ASKED
        self._payload: dict[str, object] = {
            "task_group": "audio",
            "task": kind,
            "function": function,
            "model": model,
            "parameters": dict(parameters),
            "input": {},
        }

    def run(self) -> dict[str, object]:
        """The message that begins it."""
        return self._message("run-task", self._payload)

    def text(self, text: str) -> dict[str, object]:
        """The message that adds `text` to what is spoken."""
        return self._message("continue-task", {"input": {"text": text}})

    def finish(self) -> dict[str, object]:
        """The message that says that nothing follows."""
        if self.state is State.RUNNING:
            self._to(State.FINISHING)
        return self._message("finish-task", {"input": {}})

    def feed(self, message: Mapping[str, Any]) -> Event:
        """What `message` of the vendor says. Raises ProviderError when the task failed, or when it makes no sense."""
        header = field(message, "header", dict, {})
        match header.get("event"):
            case "task-started":
                self._to(State.RUNNING)
                return Started()
            case "result-generated" if self.state in (State.RUNNING, State.FINISHING):
                return Result(field(field(message, "payload", dict, {}), "output", dict, {}))
            case "task-finished":
                self._to(State.OVER)
                return Finished()
            case "task-failed":
                return self._failed(header)
            case event:
                raise ProviderError(f"{NAME}: sent {str(event)[:40]!r} while the task is {self.state.value}")

    def _failed(self, header: Mapping[str, Any]) -> Event:
        state = self.state
        self._to(State.OVER, failed=True)
        code, words = str(header.get("error_code", "")), str(header.get("error_message", ""))
        if state is State.FINISHING and any(name in f"{code} {words}" for name in _NOTHING_SAID):
            return Finished()
        raise failure(code, words)

    def _to(self, state: State, *, failed: bool = False) -> None:
        if not failed and state not in _NEXT[self.state]:
            raise ProviderError(f"{NAME}: its task cannot be {state.value} after it was {self.state.value}")
        self.state = state

    def _message(self, action: str, payload: Mapping[str, object]) -> dict[str, object]:
        header = {"action": action, "task_id": self.id, "streaming": "duplex"}
        return {"header": header, "payload": payload}


_NOTHING_SAID = ("NO_INPUT_AUDIO", "NO_VALID_AUDIO", "NO_VALID_FRAGMENT")
"""What recognition of audio without speech may end with."""
_FAILURES = (
    (("timeout", "timedout", "time-out"), 408, True),
    (("throttling", "limitrequests", "ratequota", "allocationquota"), 429, True),
    (("apikey", "api-key", "unauthorized", "accessdenied", "access denied", "arrearage"), 401, False),
    (("modelnotfound", "model_not_found", "model not exist", "model not found"), 404, False),
    (("invalid", "badrequest", "unsupported", "datainspection", "missing"), 400, False),
)
"""Words of the vendor's code and message, in lower case; the status that they mean; whether to try again."""


def failure(code: str, words: str) -> ProviderError:
    """What the vendor's error means: `code` is its name for it, such as ``Throttling.RateQuota``."""
    said = " ".join(words.split())[:_SHOWN]
    message = f"{NAME}: the task failed: {code}{f' ({said})' if said else ''}"
    told = f"{code} {words}".lower()
    for marks, status, retry in _FAILURES:
        if any(mark in told for mark in marks):
            return ProviderError(message, status, retry=retry)
    return ProviderError(message)


def field(source: Mapping[str, Any], name: str, kind: type[T], default: T) -> T:
    """The member `name`, or `default` when it is null or absent. Raises ProviderError when it is something else."""
    value = source.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ProviderError(f"{NAME}: sent a message whose {name} is {type(value).__name__}")
    return value


async def begin(link: Link, task: Task) -> None:
    """Have `task` started. Raises ProviderError when it is refused."""
    await link.send_json(task.run())
    task.feed(await link.receive_json())

"""A bot's session among fakes: a scripted control, a synthesiser without a voice, a real engine ticked by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from control import config
from control.api import models
from control.api.client import LegClient
from control.config import Media, Settings, Token
from control.errors import LegError, LegErrorCode, SpeechError
from control.rtpengine.media import Stream
from control.sip.sdp import Direction
from control.tasks import Tasks
from media.api.calltype import CallType
from media.api.gate import Arrival
from media.api.options import Provider, SynthesisOption, TranscriptionOption
from media.api.outbox import Outbox
from media.engine import reports
from media.engine.engine import Engine
from media.fetch import Fetcher
from media.files import LocalFiles
from media.recorder import Recorder
from media.records.service import Records
from media.session.heard import heard
from media.session.lines.sip import JOIN_SECONDS
from media.session.services import Services
from media.session.session import Session
from media.session.state import State
from media.sounds import Sounds
from media.speech.cache import SpeechCache
from media.speech.eou.http import RemoteDetector
from media.speech.hub.wire import Heard
from media.speech.service import Hearer
from media.speech.voice import Samples
from media.speechtimes import SpeechTimes
from media.store import Memory
from tests.support.callworld import Clock
from tests.support.farend import HOST, FarEnd

Event = dict[str, Any]
ModelT = TypeVar("ModelT", bound=models.Model)

CALLER, CALLEE = "sip:alice@192.0.2.1", "sip:bot@192.0.2.2"
LEG, TARGET = "leg-1", "leg-2"
WORD = 800
"""Samples of a spoken word: 100 ms, five ticks."""
NOT_CONNECTED = LegError(LegErrorCode.NOT_CONNECTED, "control cannot be reached")


class FakeControl(LegClient):
    """Answers requests as told and keeps them; those of a kind in `held` wait for `release`."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(
            "ws://127.0.0.1:1/legs",
            "test",
            legs=tuple,
            on_notice=lambda notice: None,
            on_welcome=lambda legs: None,
        )
        self.stream = stream
        self.requests: list[models.Message] = []
        self.answers: dict[type[models.Message], models.Model | LegError] = {
            models.Claim: LegError(LegErrorCode.NO_SUCH_LEG, "no incoming call waits"),
            models.Ring: models.Media(stream=stream, sdp="v=0"),
            models.Accept: models.Media(stream=stream, sdp="v=0"),
            models.Invite: models.Invited(leg=LEG, caller=CALLER, callee=CALLEE),
            models.Refer: models.Invited(leg=TARGET, caller=CALLER, callee=CALLEE),
            models.Connect: models.Connected(leg=LEG, stream=stream, sdp="v=0 ours"),
        }
        self._gates: dict[type[models.Message], asyncio.Event] = {}

    async def request(self, message: models.Message, result: type[ModelT]) -> ModelT:
        self.requests.append(message)
        if (gate := self._gates.get(type(message))) is not None:
            await gate.wait()
        answer = self.answers.get(type(message), models.Done())
        if isinstance(answer, LegError):
            raise answer
        assert isinstance(answer, result)
        return answer

    def hold(self, kind: type[models.Message]) -> None:
        """Let requests of `kind` wait."""
        self._gates[kind] = asyncio.Event()

    def release(self, kind: type[models.Message]) -> None:
        """Answer the requests of `kind`."""
        self._gates.pop(kind).set()

    @property
    def methods(self) -> list[str]:
        """What was asked, in order."""
        return [request.method for request in self.requests]

    def last(self, kind: type[ModelT]) -> ModelT:
        """The last request, which must be of `kind`."""
        assert isinstance(self.requests[-1], kind), self.methods
        return self.requests[-1]


class Speech:
    """One chunk for each word; a word ``fail`` is an error instead, ``break`` a fault of ours."""

    def __init__(self, text: str | None, gate: asyncio.Event) -> None:
        self._words = (text or "").split()
        self._gate = gate
        self._ended = asyncio.Event()
        self._news = asyncio.Event()
        if text is not None:
            self._ended.set()
        self.closed = False
        self.provider: str | None = None
        self.trouble: Callable[[str, int], None] = lambda message, code: None
        self.fed: list[str] = []

    def feed(self, text: str) -> None:
        self.fed.append(text)
        self._words += text.split()
        self._news.set()

    def end(self) -> None:
        self._ended.set()
        self._news.set()

    def __aiter__(self) -> "Speech":
        return self

    async def __anext__(self) -> Samples:
        await self._gate.wait()
        while not self._words and not self._ended.is_set():
            self._news.clear()
            await self._news.wait()
        if not self._words:
            raise StopAsyncIteration
        match self._words.pop(0):
            case "fail":
                raise SpeechError("this cannot be spoken")
            case "break":
                raise ZeroDivisionError
        return np.full(WORD, 1000, np.int16)

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class FakeRecognition:
    """Audio of one track, and who wants to know what it says."""

    option: TranscriptionOption
    hearer: Hearer
    pcm: bytearray = field(default_factory=bytearray)
    voices: list[bool] = field(default_factory=list)
    closed: bool = False

    def audio(self, pcm: bytes) -> None:
        assert not self.closed
        self.pcm += pcm

    def voice(self, *, speaking: bool) -> None:
        self.voices.append(speaking)

    def close(self) -> None:
        self.closed = True

    def say(self, text: str, index: int = 0, *, final: bool = True, start: int = 0, end: int = 0) -> None:
        """Understand `text`."""
        self.hearer.heard(Heard(1, "fake", index, text, start, end, final))


class FakeTts:
    """Speaks while `gate` is set; hears what a test says it does."""

    def __init__(self) -> None:
        self.heard: list[FakeRecognition] = []
        self.streaming = False
        """Whether it speaks a text while more of it comes."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[tuple[str, SynthesisOption | None, int]] = []
        self.made: list[Speech] = []

    def name(self, kind: str, option: Provider | None) -> str:
        return (option.provider if option is not None else None) or "fake"

    def check(self, kind: str, option: Provider | None) -> None:
        if option is not None and option.provider == "unknown":
            raise SpeechError(f'{kind} provider "unknown" is not offered here', 501)

    def streams(self, option: SynthesisOption | None) -> bool:
        return self.streaming

    def synthesise(self, text: str | None, option: SynthesisOption | None, rate: int) -> Speech:
        self.check("tts", option)
        self.asked.append((text or "", option, rate))
        self.made.append(Speech(text, self.gate))
        return self.made[-1]

    def listen(self, option: TranscriptionOption, rate: int, hearer: Hearer) -> FakeRecognition:
        assert rate == (8000 if option.provider == "tones" else 16_000)
        self.heard.append(FakeRecognition(option, hearer))
        return self.heard[-1]


class Mailbox(Outbox):
    """What a bot would read."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.metrics: list[Event] = []
        """Apart from the others: they say how long things took, whatever else happens."""
        self.audio: list[bytes] = []
        self.late: list[Event] = []
        """Sent after the end: the bot never reads them."""
        self.closed: tuple[int, str] | None = None
        self._news = asyncio.Event()

    def send(self, text: str) -> None:
        event = json.loads(text)
        if self.closed:
            self.late.append(event)
        elif event["event"] == "metrics":
            self.metrics.append(event)
        else:
            self.events.append(event)
        self._news.set()

    def send_audio(self, data: bytes) -> None:
        if not self.closed:
            self.audio.append(data)

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None
        self.closed = (int(code), reason)

    @property
    def names(self) -> list[str]:
        """Names of the events, in order; tracks with what they are."""
        return [event["event"] for event in self.events]

    async def event(self, name: str) -> Event:
        """The last event called `name`; waits for one."""
        async with asyncio.timeout(10):
            while name not in self.names:
                self._news.clear()
                await self._news.wait()
        return self.last(name)

    def last(self, name: str) -> Event:
        """The last event called `name`, which must be there."""
        return [event for event in self.events if event["event"] == name][-1]

    def all(self, name: str) -> list[Event]:
        """Every event called `name`."""
        return [event for event in self.events if event["event"] == name]


@dataclass
class House:
    """The sessions and their slots: stands in for a worker."""

    services: Services
    control: FakeControl
    tts: FakeTts
    far: FarEnd
    clock: Clock
    slots: dict[int, Session] = field(default_factory=dict)
    over: list[Session] = field(default_factory=list)
    guests: list["Guest"] = field(default_factory=list)

    def took_slot(self, session: Session, slot: int) -> None:
        assert slot not in self.slots
        self.slots[slot] = session

    def described(self, session: Session) -> None:
        assert session not in self.over

    def gave_slot(self, slot: int) -> None:
        del self.slots[slot]

    def ended(self, session: Session) -> None:
        assert session not in self.over
        self.over.append(session)

    def guest(
        self,
        session_id: str = "s.1",
        *,
        claims: bool = False,
        pool: str | None = None,
        track: str = "server-side-track",
        call_type: CallType = CallType.SIP,
        token: Token | None = None,
    ) -> "Guest":
        """A bot that has just connected."""
        arrival = Arrival(
            session_id=session_id,
            claims=claims,
            pool=pool,
            track_id=track,
            call_type=call_type,
            token=token,
        )
        guest = Guest(self, arrival)
        self.guests.append(guest)
        return guest

    def stream(self, direction: Direction = Direction.SENDRECV, **changes: Any) -> Stream:
        """The stream of the far end."""
        return stream(self.far, direction, **changes)

    def tick(self, count: int = 1) -> None:
        """Let 20 ms pass on the wire, `count` times; time stands still for everything else."""
        for _ in range(count):
            for event in self.services.engine.tick():
                self.happen(event)

    def happen(self, event: reports.Event) -> None:
        """The engine reports `event`."""
        session = self.slots.get(event.slot)
        if session is not None:
            heard(session, event)


class Guest:
    """One bot, its session, and what it reads."""

    def __init__(self, house: House, arrival: Arrival) -> None:
        self.house = house
        self.box = Mailbox()
        self.session = Session(arrival, house.services, self.box, house)
        self.session.open()

    @property
    def state(self) -> State:
        """Where the session is."""
        return self.session.state

    def send(self, command: str, **fields: object) -> None:
        """Send a command."""
        self.session.receive(json.dumps({"command": command, **fields}))

    async def do(self, command: str, **fields: object) -> None:
        """Send a command and let it be carried out."""
        self.send(command, **fields)
        await idle()

    def tell(self, kind: type[models.Notice], leg: str = LEG, **fields: Any) -> None:
        """Control reports something of the leg."""
        self.session.noticed(kind(leg=leg, session=self.session.id, **fields))

    async def wait_in_pool(self) -> None:
        """Wait until the session waits for a call."""
        await idle()
        await self.house.clock.advance(JOIN_SECONDS)
        await idle()
        assert self.state is State.WAITING

    async def be_offered(self) -> None:
        """Get a call offered."""
        await self.wait_in_pool()
        self.tell(models.Incoming, caller=CALLER, callee=CALLEE, sdp="v=0", headers={"X-Case": "7"})

    async def answering(self) -> None:
        """Accept an incoming call; the caller has not acknowledged yet."""
        await self.be_offered()
        await self.do("accept", option={})

    async def talk(self) -> None:
        """Take an incoming call."""
        await self.answering()
        self.tell(models.Answered, stream=self.house.stream(), sdp="v=0")
        assert self.state is State.TALKING

    async def dial(self) -> None:
        """Place a call; nothing has come back yet."""
        await self.do("invite", option={"callee": CALLEE, "caller": CALLER})
        assert self.state is State.DIALING

    async def hear(self, name: str, ticks: int = 500) -> Event:
        """Tick until there is one more event called `name`."""
        count = len(self.box.all(name))
        for _ in range(ticks):
            if len(self.box.all(name)) > count:
                return self.box.last(name)
            self.house.tick()
            await asyncio.sleep(0)
        raise AssertionError(f"no {name} in {ticks} ticks: {self.box.events}")

    async def made(self) -> None:
        """Wait until the audio of what is on is made."""
        await self.session.player._tasks.settle()

    async def leave(self) -> None:
        """Close the socket."""
        await self.session.disconnected()
        await idle()

    def check_end(self, code: int = 1000) -> Event:
        """The end is as it must be; returns ``hangup``."""
        assert self.state is State.ENDED
        ends = [event for event in self.box.all("hangup") if "refer" not in event]
        assert len(ends) == 1
        assert self.box.names[-1] == "hangup"
        assert self.box.late == []
        assert self.box.closed is not None
        assert self.box.closed[0] == code
        self.check_tracks()
        assert self.session.slot is None
        assert self.session not in self.house.slots.values()
        return self.box.events[-1]

    def check_tracks(self) -> None:
        """Each track that started has ended, and before another of that name started."""
        running: set[str] = set()
        for event in self.box.events:
            match event["event"]:
                case "trackStart":
                    assert event["trackId"] not in running, self.box.events
                    running.add(event["trackId"])
                case "trackEnd":
                    running.remove(event["trackId"])
        assert not running, self.box.events


def stream(far: FarEnd, direction: Direction = Direction.SENDRECV, **changes: Any) -> Stream:
    """The stream of `far`: plain PCMU."""
    given: dict[str, Any] = {
        "address": far.host,
        "port": far.port,
        "codec": "pcmu",
        "payload_type": 0,
        "event_payload_type": 101,
        "ptime": 20,
        "direction": direction,
    }
    return Stream(**(given | changes))


async def idle(steps: int = 25) -> None:
    """Let everything run that can."""
    for _ in range(steps):
        await asyncio.sleep(0)


@asynccontextmanager
async def house(sounds: Path, slots: int = 4) -> AsyncIterator[House]:
    """A house whose guests have all left, with nothing of theirs, when the block ends."""
    with FarEnd(0) as far:
        engine = Engine(HOST, 0, slots)
        far.target = engine.port
        control, tts = FakeControl(stream(far)), FakeTts()
        tasks = Tasks("test")
        async with Fetcher() as fetcher:
            settings = Settings(media=Media(sounds=sounds), records=config.Records(folder=sounds / "records"))
            recorder = Recorder(sounds / "recordings", lambda callback: callback())
            nothing = Memory(0)
            library = Sounds(fetcher, LocalFiles(sounds), None, nothing)
            spoken = SpeechCache(None, nothing)
            records = Records(settings.records, sounds / "recordings", "test")
            detector = RemoteDetector(allow_private=True)
            times = SpeechTimes(lambda _: {"fake"})
            services = Services(
                settings, engine, control, tts, times, detector, library, spoken, recorder, records, tasks
            )
            place = House(services, control, tts, far, Clock(asyncio.get_running_loop()))
            try:
                yield place
                for guest in place.guests:
                    await guest.leave()
                    guest.check_end(guest.box.closed[0] if guest.box.closed else 1000)
                assert engine.used == 0
                assert not place.slots
            finally:
                await tasks.settle()
                await detector.close()
                await place.services.sounds.close()
                await place.services.spoken.settle()
                recorder.close()
                engine.close()

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from control.errors import KamailioError, KamailioTimeoutError, SetupError, SipError
from control.kamailio import datagram, rpc
from control.kamailio.events import Address
from control.kamailio.rpc import KamailioRpc
from control.sip.effects import Headers

HEADERS: Headers = (
    ("From", '"B!t" <sip:bot@192.0.2.1>;tag=b.a.r1'),
    ("To", "<sip:ann@example.com>"),
    ("Call-ID", "call!1"),
    ("CSeq", "1 INVITE"),
)
SOURCE = Address("udp", "192.0.2.1", 5060)


class Kamailio:
    """Kamailio's end of the datagram socket; answers when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self.path))

    def stop(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)

    async def take(self) -> tuple[dict[str, Any], str]:
        """The next command and the socket it came from."""
        data, sender = await asyncio.get_running_loop().sock_recvfrom(self._socket, 1 << 16)
        return json.loads(data.decode("latin-1")), sender

    def waiting(self) -> list[tuple[dict[str, Any], str]]:
        """All commands that are there now."""
        found: list[tuple[dict[str, Any], str]] = []
        while True:
            try:
                data, sender = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                return found
            found.append((json.loads(data), sender))

    def send(self, sender: str, data: bytes) -> None:
        self._socket.sendto(data, sender)

    def answer(self, command: dict[str, Any], sender: str, **keys: Any) -> None:
        self.send(sender, json.dumps({"jsonrpc": "2.0", "id": command["id"], **keys}).encode())


@pytest.fixture
def kamailio(tmp_path: Path) -> Iterator[Kamailio]:
    server = Kamailio(tmp_path / "kamailio.rpc")
    yield server
    server.stop()


@pytest.fixture
async def client(kamailio: Kamailio) -> AsyncIterator[KamailioRpc]:
    client = KamailioRpc.open(kamailio.path)
    yield client
    client.close()


def ours(kamailio: Kamailio) -> list[Path]:
    """The sockets of our side."""
    return sorted(kamailio.path.parent.glob(f"{kamailio.path.name}.*"))


async def served(kamailio: Kamailio, call: Any, **keys: Any) -> dict[str, Any]:
    """The command that `call` sends; it is answered with `keys`."""
    task = asyncio.ensure_future(call)
    command, sender = await kamailio.take()
    kamailio.answer(command, sender, **keys)
    await task
    return command


async def test_a_result(kamailio: Kamailio, client: KamailioRpc) -> None:
    task = asyncio.create_task(client.call("core.version", 1, "two", b"three"))
    command, sender = await kamailio.take()
    assert (command["method"], command["params"]) == ("core.version", [1, "two", "three"])
    kamailio.answer(command, sender, result="kamailio 5.6.3")
    assert await task == "kamailio 5.6.3"


async def test_a_refusal(kamailio: Kamailio, client: KamailioRpc) -> None:
    task = asyncio.create_task(client.call("tm.reply"))
    kamailio.answer(*await kamailio.take(), error={"code": 481, "message": "No such transaction"})
    with pytest.raises(KamailioError, match=r"^tm\.reply: No such transaction$") as refused:
        await task
    assert refused.value.code == 481


async def test_no_answer(
    kamailio: Kamailio,
    client: KamailioRpc,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(rpc, "TIMEOUT", 0.01)
    with pytest.raises(KamailioTimeoutError, match=r"tm\.cancel: Kamailio did not answer within 0\.01 s"):
        await client.call("tm.cancel")
    late = await kamailio.take()
    monkeypatch.setattr(rpc, "TIMEOUT", 5.0)
    task = asyncio.create_task(client.call("tm.stats"))
    next_one = await kamailio.take()
    kamailio.answer(*late, result=0)
    kamailio.answer(*next_one, result=1)
    assert await task == 1
    assert "answer 1 came too late" in caplog.text


async def test_an_answer_that_cannot_be_read_costs_no_other(
    kamailio: Kamailio, client: KamailioRpc, caplog: pytest.LogCaptureFixture
) -> None:
    task = asyncio.create_task(client.call("tm.stats"))
    command, sender = await kamailio.take()
    kamailio.send(sender, b"nonsense")
    kamailio.answer(command, sender, result=1)
    assert await task == 1
    assert "an answer is lost" in caplog.text


async def test_a_window_bounds_what_is_unanswered(kamailio: Kamailio, client: KamailioRpc) -> None:
    tasks = [asyncio.create_task(client.call("m", number, key="one")) for number in range(20)]
    await asyncio.sleep(0)
    seen = []
    for expected in (8, 8, 4):
        commands = kamailio.waiting()
        assert len(commands) == expected
        for command, sender in commands:
            seen.append(command["params"][0])
            kamailio.answer(command, sender, result=command["params"][0])
        await asyncio.wait(tasks[: len(seen)])
    assert seen == list(range(20))
    assert [task.result() for task in tasks] == seen


async def test_commands_of_one_key_share_a_socket(kamailio: Kamailio, client: KamailioRpc) -> None:
    senders: dict[str, set[str]] = {}
    for number in range(32):
        key = f"call-{number % 16}"
        task = asyncio.create_task(client.call("m", key, key=key))
        command, sender = await kamailio.take()
        senders.setdefault(key, set()).add(sender)
        kamailio.answer(command, sender, result=0)
        await task
    assert {len(used) for used in senders.values()} == {1}
    assert len(set.union(*senders.values())) == 4


async def test_a_busy_kamailio_gets_the_rest_when_it_reads(kamailio: Kamailio) -> None:
    client = KamailioRpc.open(kamailio.path, sockets=2, window=100)
    tasks = [asyncio.create_task(client.call("m", number, key=str(number % 8))) for number in range(60)]
    await asyncio.sleep(0)
    for _ in range(60):
        command, sender = await kamailio.take()
        kamailio.answer(command, sender, result=command["params"][0])
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == list(range(60))
    client.close()


async def test_too_many_waiting_commands_are_refused(
    kamailio: Kamailio, client: KamailioRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram, "MAX_WAITING", 3)
    tasks = [asyncio.create_task(client.call("m", key="one")) for _ in range(11)]
    await asyncio.sleep(0)
    with pytest.raises(KamailioError, match="3 commands wait already"):
        await client.call("m", key="one")
    client.close()
    await asyncio.wait(tasks)
    assert {str(task.exception()) for task in tasks} == {"m: the connection to Kamailio was closed"}


async def test_a_caller_that_gives_up_makes_room(kamailio: Kamailio) -> None:
    client = KamailioRpc.open(kamailio.path, sockets=1, window=1)
    sent, waiting, last = (asyncio.create_task(client.call("m", number)) for number in range(3))
    await asyncio.sleep(0)
    waiting.cancel()
    sent.cancel()
    await asyncio.wait([sent, waiting])
    assert [command["params"] for command, _ in kamailio.waiting()] == [[0], [2]]
    last.cancel()
    await asyncio.wait([last])
    client.close()


async def test_a_kamailio_that_is_not_there(tmp_path: Path) -> None:
    client = KamailioRpc.open(tmp_path / "kamailio.rpc")
    with pytest.raises(KamailioError, match=r"m: Kamailio cannot be reached at .*: No such file"):
        await client.call("m")
    kamailio = Kamailio(tmp_path / "kamailio.rpc")
    await served(kamailio, client.call("m"), result=0)
    kamailio.stop()
    client.close()


async def test_a_kamailio_that_is_started_again(kamailio: Kamailio, client: KamailioRpc) -> None:
    lost = asyncio.create_task(client.call("lost", key="one"))
    await kamailio.take()
    kamailio.stop()
    kamailio.start()
    await served(kamailio, client.call("again", key="one"), result=0)
    with pytest.raises(KamailioTimeoutError, match="lost: Kamailio ended before it answered"):
        await lost


async def test_a_failure_that_no_reconnection_cures(
    kamailio: Kamailio, client: KamailioRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram, "MAX_COMMAND", 1 << 30)
    with pytest.raises(KamailioError, match="cannot be reached at .*: Message too long"):
        await client.call("m", b"x" * (1 << 24))
    await served(kamailio, client.call("m"), result=0)


async def test_sockets_are_private_and_leave_with_us(kamailio: Kamailio) -> None:
    client = KamailioRpc.open(kamailio.path)
    assert [stat.S_IMODE(path.stat().st_mode) for path in ours(kamailio)] == [0o600] * 4
    client.close()
    client.close()
    assert ours(kamailio) == []
    with pytest.raises(KamailioError, match="is closed"):
        await client.call("m")


async def test_only_sockets_of_the_dead_are_removed(kamailio: Kamailio, tmp_path: Path) -> None:
    living = KamailioRpc.open(kamailio.path, sockets=1)
    await served(kamailio, living.call("m"), result=0)
    stale = tmp_path / "kamailio.rpc.dead"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(stale))
    (tmp_path / "kamailio.rpc.file").write_text("no socket")
    other = KamailioRpc.open(kamailio.path, sockets=1)
    assert not stale.exists()
    await served(kamailio, living.call("m"), result=0)
    living.close()
    other.close()


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no socket can be made here"):
        KamailioRpc.open(tmp_path / "missing" / "kamailio.rpc")


# ---- tm commands ----


async def test_reply(kamailio: Kamailio, client: KamailioRpc) -> None:
    headers = (("Contact", "<sip:bot@192.0.2.1>"), ("X-A", "a!!b"))
    call = client.reply("12:34", 200, "OK", "b.a.r1", headers, b"v=0\r\n")
    command = await served(kamailio, call, result={})
    assert command["method"] == "tm.reply"
    assert command["params"] == [
        200,
        "OK",
        "12:34",
        "b.a.r1",
        "Contact: <sip:bot@192.0.2.1>\r\nX-A: a!!b\r\n",
        "v=0\r\n",
    ]


async def test_start(kamailio: Kamailio, client: KamailioRpc) -> None:
    call = client.start("INVITE", "sip:ann@example.com", "sip:192.0.2.9", SOURCE, HEADERS, b"v=0\r\n")
    command = await served(kamailio, call, result={})
    assert command["method"] == "tm.t_uac_start"
    assert command["params"][:4] == ["INVITE", "sip:ann@example.com", "sip:192.0.2.9", "udp:192.0.2.1:5060"]
    assert command["params"][4].split("\r\n") == [
        "X-Sidecall: b.a.r1",
        *(f"{name}: {value}" for name, value in HEADERS),
        "",
    ]
    assert command["params"][5] == "v=0\r\n"


async def test_start_with_timers(kamailio: Kamailio, client: KamailioRpc) -> None:
    call = client.start("INVITE", "sip:ann@example.com", "", SOURCE, HEADERS, fr_timer=4.5)
    lines = (await served(kamailio, call, result={}))["params"][4].split("\r\n")
    assert lines[1:3] == ["X-Sidecall-Fr: 4500", "X-Sidecall-Fr-Inv: 0"]
    call = client.start("INVITE", "sip:ann@example.com", "", SOURCE, HEADERS, fr_inv_timer=60)
    lines = (await served(kamailio, call, result={}))["params"][4].split("\r\n")
    assert lines[1:3] == ["X-Sidecall-Fr: 0", "X-Sidecall-Fr-Inv: 60000"]


async def test_start_shields_exclamation_marks(kamailio: Kamailio, client: KamailioRpc) -> None:
    call = client.start("INVITE", "sip:ann@example.com", "", SOURCE, (*HEADERS, ("Subject", "Hi!!")))
    lines = (await served(kamailio, call, result={}))["params"][4].split("\r\n")
    assert lines[1] == "X-Sidecall-Sub: 1"
    assert lines[-2] == "Subject: Hi\x1a\x1a"
    assert "Call-ID: call!1" in lines


async def test_cancel(kamailio: Kamailio, client: KamailioRpc) -> None:
    command = await served(kamailio, client.cancel("call-1", 7), result={})
    assert (command["method"], command["params"]) == ("tm.cancel", ["call-1", "7"])


async def test_commands_of_one_call_keep_their_order(kamailio: Kamailio, client: KamailioRpc) -> None:
    started = asyncio.create_task(client.start("INVITE", "sip:a@example.com", "", SOURCE, HEADERS))
    cancelled = asyncio.create_task(client.cancel("call!1", 1))
    replied = asyncio.create_task(client.reply("1:2", 200, "OK", "b.a.r1", key="call!1"))
    senders = []
    for method in ("tm.t_uac_start", "tm.cancel", "tm.reply"):
        command, sender = await kamailio.take()
        assert command["method"] == method
        senders.append(sender)
        kamailio.answer(command, sender, result={})
    assert len(set(senders)) == 1
    await asyncio.gather(started, cancelled, replied)


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "a\r\nX-B: b"),
        ("X-A", "a\nb"),
        ("X-A", "a\0b"),
        ("X-A", "a\x1ab"),
        ("X A", "b"),
        ("X-A:", "b"),
        ("X!A", "b"),
        ("", "b"),
        ("X-A\r\n", "b"),
        ("x-sidecall-fr", "1"),
    ],
)
async def test_headers_that_cannot_be_sent(client: KamailioRpc, header: tuple[str, str]) -> None:
    with pytest.raises(SipError):
        await client.start("INVITE", "sip:ann@example.com", "", SOURCE, (*HEADERS, header))
    with pytest.raises(SipError):
        await client.reply("1:2", 200, "OK", "b.a.r1", (header,))


async def test_a_reason_phrase_that_cannot_be_sent(client: KamailioRpc) -> None:
    with pytest.raises(SipError, match="reason phrase"):
        await client.reply("1:2", 200, "OK\r\nX-A: b", "b.a.r1")


@pytest.mark.parametrize("value", ["<sip:bot@192.0.2.1>", "<sip:bot@192.0.2.1>;tag=x", "<sip:b;tag=b.a.1>"])
async def test_a_from_without_our_tag(client: KamailioRpc, value: str) -> None:
    with pytest.raises(SipError, match="From: .* does not end with a tag of ours"):
        await client.start("INVITE", "sip:ann@example.com", "", SOURCE, (("From", value),))

"""The rendered kamailio.cfg in a real Kamailio: calls of the bots, in both directions."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.errors import KamailioError
from control.kamailio.events import (
    AckEvent,
    Address,
    CancelEvent,
    ReplyEvent,
    RequestEvent,
    UacTimeoutEvent,
    UasTimeoutEvent,
)
from control.render import MAX_MESSAGE
from control.sip.effects import Headers
from tests.support.kamailio import (
    PATIENCE,
    Control,
    Peer,
    Server,
    body_of,
    fields,
    request,
    response,
    running,
    settings,
    wire,
)

pytestmark = pytest.mark.daemons

SDP = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\n"
OUR_TAG = "b.a.r4nd0m"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(settings(tmp_path)) as server:
        yield server


@pytest.fixture
async def control(server: Server) -> AsyncIterator[Control]:
    async with Control(server.settings) as control:
        yield control


@pytest.fixture
async def ann(server: Server) -> AsyncIterator[Peer]:
    async with Peer.at(2, server.address) as peer:
        yield peer


async def ring(ann: Peer, control: Control, call_id: str) -> RequestEvent:
    """An INVITE of Ann's that waits for an answer."""
    ann.send(request("INVITE", ann, call_id, headers="Content-Type: application/sdp\n", body=SDP))
    assert await ann.status() == 100
    return await control.event(RequestEvent)


def ours(call_id: str, method: str = "INVITE", cseq: int = 1) -> Headers:
    """Header fields of a request from a bot to Ann."""
    return (
        ("From", f'"A \\"robot\\";tag=b.x.y;tag=z" <sip:bot@example.com>;tag={OUR_TAG}'),
        ("To", "<sip:ann@example.com>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
        ("Contact", "<sip:bot@127.0.0.1>"),
        ("Max-Forwards", "70"),
    )


# ---- the gate ----


async def test_options_are_answered_when_a_control_lives_and_refused_without(
    server: Server, ann: Peer
) -> None:
    refused = await ann.options()
    assert refused.startswith("SIP/2.0 503 ")
    assert fields(refused, "Retry-After") == ["5"]
    async with Control(server.settings):
        answered = await ann.options()
        assert answered.startswith("SIP/2.0 200 ")
        assert "INVITE" in fields(answered, "Allow")[0]
        assert fields(answered, "Server") == ["Sidecall"]
    await ann.options_until(503)


async def test_an_invite_without_control_is_refused(ann: Peer) -> None:
    ann.send(request("INVITE", ann, "alone"))
    assert fields(await ann.receive(), "Retry-After") == ["5"]


async def test_a_control_that_hangs_closes_the_gate_until_it_is_back(server: Server, ann: Peer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.settings.kamailio.evapi_port)
    writer.write(b"5:H 1 h,")
    await ann.options_until(200)
    await ann.options_until(503)
    writer.write(b"5:H 1 h,")
    await ann.options_until(200)
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == 2 * b'14:{"ev":"alive"},'


async def test_a_new_connection_does_not_inherit_the_name_of_its_place(server: Server, ann: Peer) -> None:
    async with Control(server.settings):
        pass
    stranger = await asyncio.open_connection("127.0.0.1", server.settings.kamailio.evapi_port)
    async with Control(server.settings) as control:
        await ring(ann, control, "mine")
    stranger[1].close()
    assert await stranger[0].read() == b""


async def test_garbage_on_the_event_channel_is_ignored(server: Server, control: Control, ann: Peer) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.settings.kamailio.evapi_port)
    for frame in (b"7:H 2 bad,", b'12:{"method":1},', b"5:H 0\n\n,", b"garbage", b"9:H 0 a b c,"):
        writer.write(frame)
        await writer.drain()
    assert "ann@" in (await ring(ann, control, "c1")).message.decode()
    writer.close()
    await writer.wait_closed()


async def owner(control: Control, call_id: str) -> str:
    """Name of the control process that holds the INVITE `call_id`."""
    found = await control.rpc.call("htable.get", "pending", call_id)
    return str(found["item"]["value"])


async def test_two_controls_share_calls_and_one_takes_over(server: Server, ann: Peer) -> None:
    async with Control(server.settings, slot=0, name="a") as a:
        async with Control(server.settings, slot=1, name="b") as b:
            owners = []
            for call_id in map(str, range(8)):
                ann.send(request("INVITE", ann, call_id))
                assert await ann.status() == 100
                owners.append(await owner(a, call_id))
            for control in (a, b):
                assert owners.count(control.name) > 0
                for _ in range(owners.count(control.name)):
                    await control.event(RequestEvent)
            ann.send(request("INFO", ann, "any", to_tag="b.b.1"))
            event = await b.event(RequestEvent)
            await b.rpc.reply(event.transaction, 200, "OK", "b.b.1")
            assert await ann.status() == 200
        await a.gone("b")
        for call_id in map(str, range(8)):
            await ring(ann, a, f"again-{call_id}")


# ---- calls to a bot ----


async def test_an_invite_is_one_event_and_its_answers_are_ours(control: Control, ann: Peer) -> None:
    event = await ring(ann, control, "in-1")
    sent = request("INVITE", ann, "in-1", headers="Content-Type: application/sdp\n", body=SDP)
    assert event.message == wire(sent)
    assert (event.method, str(event.source)) == ("INVITE", f"udp:{ann.address}")
    assert str(event.destination) == str(ann.server)
    ann.send(sent)
    assert await ann.status() == 100
    await control.rpc.reply(event.transaction, 180, "Ringing", OUR_TAG)
    assert fields(await ann.receive(), "To") == [f"<sip:bot@{ann.server.host}>;tag={OUR_TAG}"]
    awkward = (("Content-Type", "application/sdp"), ("X-Awkward", '100% "é" \\s %n a!!b'))
    body = b"v=0\r\no=\xff\xfe\x01 %s\r\n"
    await control.rpc.reply(event.transaction, 183, "Läuft 100%", OUR_TAG, awkward, body)
    early = await ann.receive()
    assert early.startswith("SIP/2.0 183 Läuft 100%\r\n")
    assert fields(early, "X-Awkward") == ['100% "é" \\s %n a!!b']
    assert body_of(early).encode("utf-8", "surrogateescape") == body
    await control.rpc.reply(event.transaction, 200, "OK", OUR_TAG, (("Contact", "<sip:bot@127.0.0.1>"),))
    assert fields(await ann.receive(), "Contact") == ["<sip:bot@127.0.0.1>"]
    ann.send(request("ACK", ann, "in-1", to_tag=OUR_TAG))
    assert b"ACK sip:bot@" in (await control.event(AckEvent)).message
    assert control.events.empty()


async def test_the_largest_message_arrives_whole(control: Control, ann: Peer) -> None:
    spare = MAX_MESSAGE - len(wire(request("INVITE", ann, "large", headers="X-Long: \n")))
    invite = request("INVITE", ann, "large", headers=f"X-Long: {'x' * spare}\n")
    ann.send(invite)
    assert (await control.event(RequestEvent)).message == wire(invite)


async def test_our_200_is_repeated_until_the_ack(control: Control, ann: Peer) -> None:
    event = await ring(ann, control, "in-2")
    await control.rpc.reply(event.transaction, 200, "OK", OUR_TAG)
    assert [await ann.status() for _ in range(3)] == [200, 200, 200]
    ann.send(request("ACK", ann, "in-2", to_tag=OUR_TAG))
    await control.event(AckEvent)


async def test_a_transaction_is_answered_once(control: Control, ann: Peer) -> None:
    event = await ring(ann, control, "in-3")
    await control.rpc.reply(event.transaction, 486, "", OUR_TAG)
    assert (await ann.receive()).startswith("SIP/2.0 486 \r\n")
    with pytest.raises(KamailioError, match="Reply failed") as refused:
        await control.rpc.reply(event.transaction, 200, "OK", OUR_TAG)
    assert refused.value.code == 500
    with pytest.raises(KamailioError, match="No such transaction") as unknown:
        await control.rpc.reply("1:2", 200, "OK", OUR_TAG)
    assert unknown.value.code == 481


async def test_requests_within_a_dialog_find_their_owner_by_its_tag(control: Control, ann: Peer) -> None:
    for cseq, method in enumerate(("INFO", "UPDATE", "REFER", "OPTIONS", "INVITE", "BYE"), start=2):
        ann.send(request(method, ann, "in-4", cseq=cseq, to_tag=OUR_TAG))
        event = await control.event(RequestEvent)
        assert event.method == method
        await control.rpc.reply(event.transaction, 200, "OK", OUR_TAG)
        while (answer := await ann.receive()).startswith("SIP/2.0 100"):
            continue
        assert fields(answer, "CSeq") == [f"{cseq} {method}"]
        ann.send(request(method, ann, "in-4", cseq=cseq, to_tag=OUR_TAG))
        assert await ann.status() == 200
        if method == "INVITE":
            ann.send(request("ACK", ann, "in-4", cseq=cseq, to_tag=OUR_TAG))
            await control.event(AckEvent)
    assert control.events.empty()


@pytest.mark.parametrize(
    ("method", "to_tag", "status"),
    [
        ("BYE", "foreign", 481),
        ("INVITE", "foreign", 481),
        ("BYE", "b.dead.1", 200),
        ("INFO", "b.dead.1", 503),
    ],
)
async def test_requests_within_dialogs_of_nobody(
    control: Control, ann: Peer, method: str, to_tag: str, status: int
) -> None:
    ann.send(request(method, ann, "in-5", to_tag=to_tag))
    assert await ann.status() == status
    assert control.events.empty()


@pytest.mark.parametrize(
    ("method", "status"),
    [("REGISTER", 405), ("SUBSCRIBE", 405), ("PUBLISH", 405), ("MESSAGE", 405), ("BYE", 481), ("BREW", 501)],
)
async def test_what_we_do_not_offer_is_refused(control: Control, ann: Peer, method: str, status: int) -> None:
    ann.send(request(method, ann, "in-6"))
    assert await ann.status() == status
    assert control.events.empty()


async def test_cancel_is_answered_and_the_owner_ends_the_invite(control: Control, ann: Peer) -> None:
    event = await ring(ann, control, "in-7")
    branch = "z9hG4bK-in-7-1-INVITE"
    ann.send(request("CANCEL", ann, "in-7", branch=branch))
    assert await ann.status() == 200
    assert b"CANCEL sip:bot@" in (await control.event(CancelEvent)).message
    ann.send(request("CANCEL", ann, "in-7", branch=branch))
    assert await ann.status() == 200
    await control.rpc.reply(event.transaction, 487, "Request Terminated", OUR_TAG)
    terminated = await ann.receive()
    assert terminated.startswith("SIP/2.0 487 ")
    assert fields(terminated, "CSeq") == ["1 INVITE"]
    ann.send(request("ACK", ann, "in-7", branch=branch, to_tag=OUR_TAG))
    await control.event(AckEvent)
    assert control.events.empty()


async def test_cancel_of_nothing(control: Control, ann: Peer) -> None:
    ann.send(request("CANCEL", ann, "in-8"))
    assert await ann.status() == 481
    assert control.events.empty()


async def test_cancel_when_the_owner_is_gone(server: Server, ann: Peer) -> None:
    async with Control(server.settings) as control:
        await ring(ann, control, "in-9")
    await ann.options_until(503)
    ann.send(request("CANCEL", ann, "in-9", branch="z9hG4bK-in-9-1-INVITE"))
    assert sorted([await ann.status(), await ann.status()]) == [200, 487]


async def test_an_answer_that_never_comes(tmp_path: Path) -> None:
    def hurry(text: str) -> str:
        return re.sub(r"(patience\) =) \d+", r"\1 300", text)

    async with (
        running(settings(tmp_path), hurry) as server,
        Peer.at(2, server.address) as ann,
        Control(server.settings) as control,
    ):
        waiting = await ring(ann, control, "in-10")
        timeout = await control.event(UasTimeoutEvent)
        assert (timeout.transaction, timeout.message) == (waiting.transaction, waiting.message)
        assert await ann.status() == 480
        ann.send(request("ACK", ann, "in-10", branch="z9hG4bK-in-10-1-INVITE", to_tag="x"))
        for cseq, (method, status) in enumerate((("BYE", 200), ("INFO", 503)), start=2):
            ann.send(request(method, ann, "in-10", cseq=cseq, to_tag=OUR_TAG))
            await control.event(RequestEvent)
            assert (await control.event(UasTimeoutEvent)).method == method
            assert await ann.status() == status


async def test_a_call_over_tcp_without_content_length(server: Server, control: Control, ann: Peer) -> None:
    reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
    invite = request("INVITE", ann, "tcp-1", transport="TCP").replace("Content-Length: 0\n", "")
    writer.write(wire(invite))
    event = await control.event(RequestEvent)
    assert event.source == Address("tcp", *writer.get_extra_info("sockname"))
    await control.rpc.reply(event.transaction, 486, "Busy Here", OUR_TAG)
    async with asyncio.timeout(PATIENCE):
        answers = await reader.readuntil(b"CSeq: 1 INVITE\r\nServer: Sidecall\r\nContent-Length: 0\r\n\r\n")
    assert answers.startswith(b"SIP/2.0 100 Trying\r\n")
    writer.close()
    await writer.wait_closed()


async def test_replies_find_a_sender_that_does_not_know_its_address(control: Control, ann: Peer) -> None:
    ann.send(request("OPTIONS", ann, "nat").replace(str(ann.address), "10.1.2.3:9", 1))
    assert await ann.status() == 200


async def test_replies_go_to_the_port_that_via_names(server: Server, control: Control, ann: Peer) -> None:
    async with Peer.at(2, server.address, use="other") as other:
        ann.send(request("OPTIONS", other, "ports"))
        assert await other.status() == 200
        assert ann.received.empty()


# ---- calls of a bot ----


async def test_our_invite_has_one_from_tag_and_no_marks(server: Server, control: Control, ann: Peer) -> None:
    offer = b"v=0\r\no=\xff!!\r\n"
    headers = (*ours("out-1"), ("X-Note", "Hi!!! é 100%s!"), ("Content-Type", "application/sdp"))
    uri = f"sip:ann@{ann.address}"
    await control.rpc.start("INVITE", uri, "", server.address, headers, offer, fr_timer=20, fr_inv_timer=60)
    invite = await ann.receive()
    assert invite.startswith(f"INVITE {uri} SIP/2.0\r\n")
    assert fields(invite, "From") == [dict(headers)["From"]]
    assert fields(invite, "X-Note") == ["Hi!!! é 100%s!"]
    assert "sidecall-" not in invite.lower()
    assert fields(invite, "X-Sidecall") == []
    assert body_of(invite).encode("utf-8", "surrogateescape") == offer
    ann.send(response(invite, "180 Ringing"))
    assert (await control.event(ReplyEvent)).code == 180
    ann.send(response(invite, "200 OK", headers="Contact: <sip:ann@10.255.255.1:9>\n", body=SDP))
    answer = await control.event(ReplyEvent)
    assert (answer.code, answer.cseq, str(answer.source)) == (200, 1, f"udp:{ann.address}")
    ack = await ann.receive()
    assert ack.startswith("ACK sip:ann@10.255.255.1:9 SIP/2.0\r\n")
    assert fields(ack, "From") == fields(invite, "From")
    await control.rpc.start("BYE", uri, "", server.address, ours("out-1", "BYE", 2))
    bye = await ann.receive()
    ann.send(response(bye, "200 OK"))
    assert (await control.event(ReplyEvent)).cseq == 2


async def test_our_invite_is_cancelled(server: Server, control: Control, ann: Peer) -> None:
    await control.rpc.start("INVITE", f"sip:ann@{ann.address}", "", server.address, ours("out-2"))
    invite = await ann.receive()
    ann.send(response(invite, "180 Ringing"))
    await control.event(ReplyEvent)
    await control.rpc.cancel("out-2", 1)
    cancel = await ann.receive()
    assert cancel.startswith("CANCEL ")
    assert fields(cancel, "Via") == fields(invite, "Via")
    assert fields(cancel, "From") == fields(invite, "From")
    ann.send(response(cancel, "200 OK"))
    ann.send(response(invite, "487 Request Terminated"))
    assert (await control.event(ReplyEvent)).code == 487
    assert (await ann.receive()).startswith("ACK ")
    with pytest.raises(KamailioError, match="Transaction not found") as unknown:
        await control.rpc.cancel("never-sent", 1)
    assert unknown.value.code == 400


async def test_our_request_that_nobody_answers(server: Server, control: Control, ann: Peer) -> None:
    uri = f"sip:ann@{ann.address}"
    await control.rpc.start("OPTIONS", uri, "", server.address, ours("out-3", "OPTIONS", 7), fr_timer=0.3)
    timeout = await control.event(UacTimeoutEvent)
    assert (timeout.code, timeout.cseq) == (408, 7)
    assert timeout.message == (await ann.receive()).encode()


async def test_our_invite_that_rings_too_long(server: Server, control: Control, ann: Peer) -> None:
    uri = f"sip:ann@{ann.address}"
    await control.rpc.start("INVITE", uri, "", server.address, ours("out-4"), fr_inv_timer=0.3)
    invite = await ann.receive()
    ann.send(response(invite, "180 Ringing"))
    await control.event(ReplyEvent)
    assert (await control.event(UacTimeoutEvent)).code == 408
    cancel = await ann.receive()
    assert cancel.startswith("CANCEL ")
    ann.send(response(cancel, "200 OK"))
    ann.send(response(invite, "487 Request Terminated"))
    assert (await control.event(ReplyEvent)).code == 487


@pytest.mark.parametrize(
    ("uri", "headers", "words"),
    [
        ("no-uri", ours("out-5"), "Invalid request uri"),
        ("sip:ann@127.0.0.1", ours("out-5", "BYE"), "CSeq method mismatch"),
        ("sip:ann@127.0.0.1", ours("out-5")[:1], "To missing"),
    ],
)
async def test_requests_that_kamailio_refuses(
    server: Server, control: Control, uri: str, headers: Headers, words: str
) -> None:
    with pytest.raises(KamailioError, match=words):
        await control.rpc.start("INVITE", uri, "", server.address, headers)


# ---- restarts ----


async def test_everything_works_again_after_a_restart_of_kamailio(
    server: Server, control: Control, ann: Peer
) -> None:
    await server.stop()
    with pytest.raises(KamailioError, match="cannot be reached"):
        await control.rpc.call("core.version")
    await server.start()
    await control.known()
    event = await ring(ann, control, "again")
    await control.rpc.reply(event.transaction, 404, "Not Found", OUR_TAG)
    assert await ann.status() == 404


async def test_a_call_outlives_its_control(server: Server, ann: Peer) -> None:
    async with Control(server.settings) as before:
        event = await ring(ann, before, "kept")
    async with Control(server.settings) as after:
        await after.rpc.reply(event.transaction, 200, "OK", OUR_TAG)
        assert await ann.status() == 200


async def test_many_commands_at_once_are_all_answered(control: Control) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(control.rpc.call("jsonrpc.echo", f"n{n}", key=str(n % 16))) for n in range(400)
        ]
    assert [task.result() for task in tasks] == [[f"n{n}"] for n in range(400)]

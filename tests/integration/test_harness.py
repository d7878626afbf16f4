"""The test peers against each other: what they find wrong later is not their own fault."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import ports, sipwire, wav
from tests.support.baresip import Codec, baresip
from tests.support.netns import Namespace, namespace
from tests.support.phone import Dialog, phone
from tests.support.ports import Address
from tests.support.rtpcap import TELEPHONE_EVENT, rtp_peer
from tests.support.sipp import SippError, sipp

PAIRS = [
    ("uac_answer", "uas_answer"),
    ("uac_early", "uas_early"),
    ("uac_rejected", "uas_final"),
    ("uac_cancel", "uas_cancelled"),
    ("uac_peer_bye", "uas_bye"),
]
VALUES = {"code": "486", "reason": "Busy Here"}


@pytest.mark.daemons
@pytest.mark.parametrize(("caller", "callee"), PAIRS, ids=[caller for caller, _ in PAIRS])
async def test_sipp_scenarios_fit_each_other(tmp_path: Path, caller: str, callee: str) -> None:
    there = ports.peer(11)
    async with (
        sipp(callee, tmp_path, local=there, values=VALUES) as called,
        sipp(caller, tmp_path, local=ports.peer(12), remote=there, values=VALUES) as calling,
    ):
        report = await calling.succeeded()
        await called.succeeded()
    assert report.count("SuccessfulCall") == 1
    if caller in ("uac_answer", "uac_rejected"):
        assert len(report.response_ms) == 1


@pytest.mark.daemons
async def test_sipp_failure_shows_the_messages(tmp_path: Path) -> None:
    there = ports.peer(11)
    async with (
        sipp("uas_final", tmp_path, local=there, values=VALUES),
        sipp("uac_answer", tmp_path, local=ports.peer(12), remote=there) as calling,
    ):
        with pytest.raises(SippError, match="486 Busy Here"):
            await calling.succeeded()


@pytest.mark.daemons
async def test_sipp_and_phone_check_the_same_digest(tmp_path: Path) -> None:
    there = ports.peer(11)
    values = {"username": "us", "password": "secret"}
    async with (
        sipp("uas_auth", tmp_path, local=there, values=values) as called,
        phone(ports.peer(12), there) as caller,
    ):
        call = caller.call(f"sip:x@{there}")
        offer = sipwire.sdp(caller.address.host, 20000)
        call.send("INVITE", body=offer)
        challenge = (await call.response(401)).get("WWW-Authenticate")
        call.ack()
        call.remote = f"<sip:x@{there}>"
        given = sipwire.answer_challenge(challenge, "INVITE", call.target, "us", "secret")
        assert sipwire.digest_fits(given, "INVITE", "us", "secret")
        assert not sipwire.digest_fits(given, "INVITE", "us", "other")
        call.send("INVITE", body=offer, headers=[("Authorization", given)])
        await call.response(200)
        call.ack()
        await call.bye()
        await called.succeeded()


@pytest.mark.daemons
async def test_phone_is_a_callee_with_everything_within_the_dialog(tmp_path: Path) -> None:
    async with phone(ports.peer(11), ports.peer(12)) as callee:
        caller = ports.peer(12)
        async with sipp("uac_in_dialog", tmp_path, local=caller, remote=callee.address) as calling:
            invite = await callee.request("INVITE")
            answer = sipwire.sdp(callee.address.host, 20000)
            callee.proxy = caller
            callee.reply(invite, 200, tag="t", sdp=answer)
            for method in ("OPTIONS", "INFO"):
                callee.reply(await callee.request(method), 200)
            hold = await callee.request("INVITE")
            assert "a=sendonly" in hold.body
            callee.reply(hold, 200, sdp=sipwire.sdp(callee.address.host, 20000, direction="recvonly"))
            callee.reply(await callee.request("INVITE"), 200, sdp=answer)
            callee.reply(await callee.request("UPDATE"), 200, sdp=answer)
            callee.reply(await callee.request("BYE"), 200)
            await calling.succeeded()


@pytest.mark.daemons
async def test_phone_ends_a_call_that_is_never_acknowledged(tmp_path: Path) -> None:
    async with phone(ports.peer(11), ports.peer(12)) as callee:
        caller = ports.peer(12)
        callee.proxy = caller
        async with sipp("uac_no_ack", tmp_path, local=caller, remote=callee.address) as calling:
            invite = await callee.request("INVITE")
            for _ in range(3):
                callee.reply(invite, 200, tag="t", sdp=sipwire.sdp(callee.address.host, 20000))
            call = Dialog.of(callee, invite, "t")
            await call.bye()
            await calling.succeeded()


@pytest.mark.daemons
async def test_registrar_takes_refreshes_and_forgets(tmp_path: Path) -> None:
    there = ports.peer(11)
    values = {"username": "us", "password": "secret", "expires": "60"}
    async with (
        sipp("registrar", tmp_path, local=there, values=values) as registrar,
        phone(ports.peer(12), there) as client,
    ):
        account = client.call(f"sip:{there}")
        account.send("REGISTER", headers=[("Expires", "60")])
        challenge = (await account.response(401, "REGISTER")).get("WWW-Authenticate")
        given = sipwire.answer_challenge(challenge, "REGISTER", account.target, "us", "secret")
        for expires in ("60", "60", "0"):
            account.send("REGISTER", headers=[("Authorization", given), ("Expires", expires)])
            await account.response(200, "REGISTER")
        await registrar.received("REGISTER", 4)
        await registrar.succeeded()


async def test_rtp_peers_hear_each_other_and_their_digits() -> None:
    sound = wav.babble(seed=1, seconds=0.4)
    async with rtp_peer(ports.peer(11)) as one, rtp_peer(ports.peer(12)) as other:
        one.remote = other.address
        await one.speak(sound)
        await one.press("5")
        index = await other.packet(lambda packet: packet.payload_type == TELEPHONE_EVENT)
        await other.packet(lambda packet: packet.payload[1] & 0x80 != 0, after=index)
    assert index == 20
    assert other.packets[index].marker
    assert other.packets[index].payload[0] == 5
    assert wav.correlation(other.heard(), sound) > 0.99
    arrivals = [packet.arrival for packet in other.packets]
    assert arrivals == sorted(arrivals)


@pytest.fixture
def space() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.mark.root
@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
async def test_baresip_offers_only_what_it_was_given(tmp_path: Path, space: Namespace, codec: Codec) -> None:
    here = Address(space.outside, 5080)
    async with phone(here, here) as callee, baresip(space, tmp_path, codecs=(codec,)) as caller:
        await caller.dial(f"sip:x@{here}")
        invite = await callee.request("INVITE")
        callee.proxy = caller.sip
        callee.reply(invite, 486, tag="t")
        await callee.request("ACK")
        await caller.event("CALL_CLOSED")
    names = re.findall(r"a=rtpmap:\d+ (\w+)/8000", invite.body)
    assert [name for name in names if name != "telephone"] == [codec.upper()]


@pytest.mark.root
async def test_baresip_calls_speaks_hears_and_dials_digits(tmp_path: Path, space: Namespace) -> None:
    told, said = wav.babble(seed=1, seconds=1.5), wav.babble(seed=2, seconds=1.5)
    here = Address(space.outside, 5080)
    async with (
        phone(here, here) as callee,
        rtp_peer(Address(space.outside, 20_000)) as rtp,
        baresip(space, tmp_path, says=said) as caller,
    ):
        await caller.dial(f"sip:x@{here}")
        invite = await callee.request("INVITE")
        callee.proxy = caller.sip
        rtp.remote = Address(*sipwire.media_address(invite.body))
        callee.reply(invite, 180, tag="t")
        callee.reply(invite, 200, tag="t", sdp=sipwire.sdp(*rtp.address))
        await caller.event("CALL_ESTABLISHED")
        # A phone drops what its jitter buffer holds when the call ends.
        await rtp.speak(np.concatenate((told, np.zeros(wav.RATE // 4))))
        await caller.press("5")
        index = await rtp.packet(lambda packet: packet.payload_type == TELEPHONE_EVENT)
        await caller.hangup()
        callee.reply(await callee.request("BYE"), 200)
        await caller.event("CALL_CLOSED")
    assert rtp.packets[index].payload[0] == 5
    assert wav.correlation(caller.heard(), told) > 0.99
    assert wav.correlation(rtp.heard(), said) > 0.99


@pytest.mark.root
async def test_baresip_answers(tmp_path: Path, space: Namespace) -> None:
    here = Address(space.outside, 5080)
    async with phone(here, here) as caller, baresip(space, tmp_path) as callee:
        caller.proxy = callee.sip
        call = caller.call(callee.uri)
        call.send("INVITE", body=sipwire.sdp(space.outside, 20_000))
        await call.response(180)
        await callee.answer()
        await call.response(200)
        call.ack()
        await callee.event("CALL_ESTABLISHED")
        await callee.hangup()
        caller.reply(await caller.request("BYE"), 200)
        await callee.event("CALL_CLOSED")

import asyncio
import logging
from typing import Any

import pytest

from control.calls.channel import LOST_SECONDS
from control.config import Registration, Settings
from control.sip.effects import RegistrationState, Send
from control.sip.uri import parse_uri
from tests.support.callworld import Clock, MakeWorld, Peer, World, given_up, settings
from tests.support.siptext import field

CHALLENGE = (("WWW-Authenticate", 'Digest realm="r", nonce="n", algorithm=MD5, qop="auth"'),)


def account(name: str = "pbx", registrar: str = "sip:127.0.0.9:5070", **more: Any) -> Registration:
    parts: dict[str, Any] = {"username": "u", "password": "secret"}
    return Registration(name=name, registrar=registrar, **parts | more)


def with_accounts(*accounts: Registration) -> Settings:
    return settings(registrations=accounts or (account(),))


async def registered(one: World) -> tuple[Peer, Send]:
    """Start, and let the registrar accept with a challenge before; the registrar and the last REGISTER."""
    registrar = one.peer()
    one.service.registrations.start()
    registrar.answers(await one.channel.send("REGISTER"), 401, headers=CHALLENGE)
    again = await one.channel.send("REGISTER")
    registrar.answers(again, 200, headers=(("Expires", "600"),))
    assert state(one) is RegistrationState.REGISTERED
    return registrar, again


def state(one: World) -> RegistrationState:
    return one.service.registrations.accounts[0].state


async def test_registers_with_credentials(make_world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one = await make_world(with_accounts(account(domain="example.com", expires=300)))
    assert state(one) is RegistrationState.UNREGISTERED
    _, sent = await registered(one)
    (known,) = one.service.registrations.accounts
    assert (sent.uri, sent.next_hop) == ("sip:example.com", "sip:127.0.0.9:5070")
    assert field(sent, "To") == "<sip:u@example.com>"
    assert field(sent, "From") == f"<sip:u@example.com>;tag={known.tag}"
    assert field(sent, "Contact") == f"<sip:{known.user}@127.0.0.1:5060>"
    assert field(sent, "Expires") == "300"
    assert 'username="u"' in (field(sent, "Authorization") or "")
    assert "registration pbx is registered: 200 OK" in caplog.text
    assert "secret" not in caplog.text


async def test_the_registrars_host_is_the_domain_unless_there_is_another(make_world: MakeWorld) -> None:
    one = await make_world(with_accounts())
    one.service.registrations.start()
    assert (await one.channel.send("REGISTER")).uri == "sip:127.0.0.9"


async def test_calls_that_come_by_a_registration_are_known_by_its_contact(make_world: MakeWorld) -> None:
    one = await make_world(with_accounts(account("a"), account("b")))
    registrations = one.service.registrations
    assert [registrations.name_of(each.user) for each in registrations.accounts] == ["a", "b"]
    assert registrations.name_of("reg-a") is None


async def test_a_user_name_may_be_a_mail_address(make_world: MakeWorld) -> None:
    one = await make_world(with_accounts(account(username="u@example.com")))
    one.service.registrations.start()
    assert field(await one.channel.send("REGISTER"), "To") == "<sip:u%40example.com@127.0.0.9>"


async def test_is_refreshed_in_time(make_world: MakeWorld, clock: Clock) -> None:
    one = await make_world(with_accounts())
    await registered(one)
    await clock.advance(600 * 0.9)
    assert field(await one.channel.send("REGISTER"), "Expires") == "600"


@pytest.mark.parametrize("how", ["refused", "unanswered", "unreachable"])
async def test_a_failure_is_told_and_tried_again(
    make_world: MakeWorld, clock: Clock, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    one = await make_world(with_accounts(account(retry=30)))
    if how == "unreachable":
        one.channel.unreachable.add("REGISTER")
    one.service.registrations.start()
    sent = await one.channel.send("REGISTER")
    if how == "refused":
        one.peer().answers(sent, 403, "Go away")
    elif how == "unanswered":
        one.service.on_event(given_up(sent))
    await one.settle()
    assert state(one) is RegistrationState.FAILED
    words = {"refused": "403 Go away", "unanswered": "408", "unreachable": "503"}[how]
    assert f"registration pbx is failed: {words}" in caplog.text
    one.channel.unreachable.clear()
    await clock.advance(30)
    await one.channel.send("REGISTER")
    assert state(one) is RegistrationState.REGISTERING


async def test_an_answer_that_was_lost_is_a_failure_in_time(make_world: MakeWorld, clock: Clock) -> None:
    one = await make_world(with_accounts(account(retry=5)))
    one.service.registrations.start()
    await one.channel.send("REGISTER")
    await clock.advance(LOST_SECONDS)
    assert state(one) is RegistrationState.FAILED
    await clock.advance(5)
    await one.channel.send("REGISTER")


async def test_a_registrar_without_address_is_looked_up_again(
    make_world: MakeWorld, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await make_world(with_accounts(account(registrar="sip:pbx.invalid", retry=30)))
    one.service.registrations.start()
    await one.settle()
    assert state(one) is RegistrationState.UNREGISTERED
    assert "pbx.invalid: no IPv4 address found; trying again in 30 s" in caplog.text
    found = await one.channel.locate(parse_uri("sip:127.0.0.9"))

    async def locate(_: Any) -> Any:
        return found

    monkeypatch.setattr(one.channel, "locate", locate)
    await clock.advance(30)
    assert (await one.channel.send("REGISTER")).next_hop == "sip:pbx.invalid"


async def test_stray_messages_do_nothing(make_world: MakeWorld) -> None:
    one = await make_world(with_accounts(account(registrar="sip:pbx.invalid")))
    (known,) = one.service.registrations.accounts
    sent = Send("REGISTER", "sip:x", "", (("From", f"<sip:x@y>;tag={known.tag}"), ("To", "<sip:x@y>")))
    headers = (*sent.headers, ("Call-ID", "c"), ("CSeq", "1 REGISTER"))
    sent = Send("REGISTER", "sip:x", "", headers)
    one.peer().answers(sent, 200)
    one.service.on_event(given_up(sent))
    await one.settle()
    assert one.channel.sent == []


# The end


async def test_unregisters_and_waits_until_the_registrar_knows(make_world: MakeWorld) -> None:
    one = await make_world(with_accounts())
    registrar, _ = await registered(one)
    closing = asyncio.create_task(one.service.close(60))
    first = await one.channel.send("REGISTER")
    assert field(first, "Expires") == "0"
    await one.settle()
    assert not closing.done()
    registrar.answers(first, 401, headers=CHALLENGE)
    second = await one.channel.send("REGISTER")
    assert field(second, "Authorization")
    assert field(second, "Expires") == "0"
    await one.settle()
    assert not closing.done()
    registrar.answers(second, 200)
    await closing
    assert state(one) is RegistrationState.STOPPED


@pytest.mark.parametrize("how", ["refused", "unanswered"])
async def test_a_registrar_that_does_not_want_to_know_is_left(make_world: MakeWorld, how: str) -> None:
    one = await make_world(with_accounts())
    registrar, _ = await registered(one)
    closing = asyncio.create_task(one.service.close(60))
    sent = await one.channel.send("REGISTER")
    if how == "refused":
        registrar.answers(sent, 500)
    else:
        one.service.on_event(given_up(sent))
    await closing


async def test_an_unregistration_that_cannot_be_sent_does_not_hold_up(make_world: MakeWorld) -> None:
    one = await make_world(with_accounts())
    await registered(one)
    one.channel.unreachable.add("REGISTER")
    await one.service.close(60)
    assert state(one) is RegistrationState.STOPPED


async def test_stopped_before_it_began(make_world: MakeWorld, clock: Clock) -> None:
    one = await make_world(with_accounts(account(), account("lost", "sip:pbx.invalid")))
    await one.service.close(60)
    await clock.advance(3600)
    assert one.channel.sent == []


async def test_stopped_while_the_registrar_is_looked_up(make_world: MakeWorld, clock: Clock) -> None:
    one = await make_world(with_accounts())
    one.channel.gate.clear()
    one.service.registrations.start()
    await one.channel.located.wait()
    one.service.registrations.stop()
    one.channel.gate.set()
    await one.service.registrations.stopped()
    await one.settle()
    await clock.advance(3600)
    assert one.channel.sent == []

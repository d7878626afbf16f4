"""We register at a registrar."""

import asyncio
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.phone import Phone, phone
from tests.support.sipp import sipp
from tests.support.system import running_system

pytestmark = pytest.mark.daemons


async def test_registration_is_made_refreshed_and_ended(tmp_path: Path) -> None:
    there = ports.peer(23)
    values = {"username": "us", "password": "secret", "expires": "2"}
    account = {"name": "pbx", "registrar": f"sip:{there}", "username": "us", "password": "secret"}
    async with sipp("registrar", tmp_path, local=there, values=values) as registrar:
        async with running_system(tmp_path, registrations=[account]):
            await registrar.received("REGISTER", 3)
        await registrar.succeeded()


async def forget(registrar: Phone) -> None:
    """Answer the REGISTER that ends the registration."""
    registrar.reply(await registrar.request("REGISTER"), 200, tag="r")


async def test_call_by_a_registration_takes_its_route(tmp_path: Path) -> None:
    there = ports.peer(23)
    account = {"name": "pbx", "registrar": f"sip:{there}", "username": "us", "password": "secret"}
    routes = [{"trunk": "pbx", "pool": "desk"}]
    async with phone(there, there) as registrar:
        async with running_system(tmp_path, registrations=[account], routes=routes) as system:
            registrar.proxy = system.sip
            request = await registrar.request("REGISTER")
            contact = request.get("Contact")
            registrar.reply(request, 200, tag="r", headers=[("Expires", "3600"), ("Contact", contact)])
            async with system.waiting_bot("desk") as bot:
                call = registrar.call(contact.partition("<")[2].partition(">")[0])
                call.send("INVITE")
                await bot.event("incoming")
                await bot.send("reject", code=486, reason="busy")
                await call.response(486)
                call.ack()
                await bot.ended()
            farewell = asyncio.create_task(forget(registrar))
        await farewell

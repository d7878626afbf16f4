"""Entry of ``python -m media.speech.hub``: the speech process of a node."""

import argparse
import asyncio
import logging
from pathlib import Path

import aiohttp

from control import process
from control.config import Settings
from control.errors import ProviderError
from media.api.options import SynthesisOption, TranscriptionOption
from media.fetch import public_socket
from media.speech.catalogue import Catalogue
from media.speech.hub.providers import Providers
from media.speech.hub.server import Server

log = logging.getLogger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve workers until `stop` is set. Raises SetupError."""
    providers = Providers(Catalogue(settings), lambda trusted: session(settings, trusted=trusted))
    server = Server(providers, settings.speech.stall_seconds)
    try:
        _warm(providers)
        await server.start(settings.speech_socket)
        await stop.wait()
    finally:
        settings.speech_socket.unlink(missing_ok=True)
        await server.close()
        await providers.close()


def _warm(providers: Providers) -> None:
    """Make the providers of those who name none, so that the first call does not wait for them."""
    speech, recognition = SynthesisOption(), TranscriptionOption()
    for make in (lambda: providers.synthesisers(speech), lambda: providers.recognisers(recognition)):
        try:
            make()
        except ProviderError as error:
            log.warning("%s", error)


def session(settings: Settings, *, trusted: bool) -> aiohttp.ClientSession:
    """For connections to providers; unless `trusted`, only to public addresses."""
    guarded = not trusted and not settings.media.allow_private_urls
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=aiohttp.ThreadedResolver(),
            socket_factory=public_socket if guarded else None,
            limit=0,
            ttl_dns_cache=60,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "Sidecall"},
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="sidecall speech", description="Run the speech process of a node.")
    parser.add_argument("-c", "--config", type=Path, help="path of sidecall.toml")
    arguments = parser.parse_args()
    process.run(arguments.config, serve)


main()

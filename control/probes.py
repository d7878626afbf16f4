"""Asks a process whether it can work: one question, at most `TIMEOUT` seconds, never an exception."""

import asyncio
import json
import os
import socket
from pathlib import Path

TIMEOUT = 1.0


async def http_ok(address: str, port: int, path: str = "/readyz", token: str | None = None) -> bool:
    """Whether ``GET path``, with `token` as bearer token, is answered with 200."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {address}", "Connection: close"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write("\r\n".join((*lines, "", "")).encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        return False
    return status.split()[1:2] == [b"200"]


async def kamailio_answers(rpc_socket: Path) -> bool:
    """Whether Kamailio answers ``core.version`` on its JSON-RPC datagram socket."""
    question = json.dumps({"jsonrpc": "2.0", "method": "core.version", "id": os.getpid()}).encode()
    # The empty name lets Linux choose an abstract address to reply to: no file to clean up.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")
        answer = await _ask(sock, str(rpc_socket), question)
    return b'"result"' in answer


async def rtpengine_answers(port: int, address: str = "127.0.0.1") -> bool:
    """Whether rtpengine answers the ng command ``ping`` with ``pong``."""
    # rtpengine replays its old answer to a cookie it knows: each question needs a new one.
    cookie = os.urandom(8).hex().encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = await _ask(sock, (address, port), cookie + b" d7:command4:pinge")
    return answer.startswith(cookie) and b"4:pong" in answer


async def accepts(path: Path) -> bool:
    """Whether somebody listens on the Unix stream socket `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.get_running_loop().sock_connect(sock, str(path))
        except OSError:
            return False
    return True


async def _ask(sock: socket.socket, address: str | tuple[str, int], question: bytes) -> bytes:
    """The answer to one datagram; empty when there is none in time."""
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        sock.connect(address)
        async with asyncio.timeout(TIMEOUT):
            await loop.sock_sendall(sock, question)
            return await loop.sock_recv(sock, 65535)
    except OSError:
        return b""

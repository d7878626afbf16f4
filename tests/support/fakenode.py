"""Stand-ins for the servers and processes of a node: they answer what readiness asks, and say goodbye."""

import sys
from pathlib import Path

from control.check import spare_range
from control.config import Api, Control, Kamailio, Media, Rtpengine, Settings, Sip, Up

HOST = "127.0.0.1"

_HEAD = f"""#!{sys.executable} -IS
import os, re, signal, socket, sys
def say(text):
    os.write(1, (text + chr(10)).encode())
def leave(*_):
    say('bye')
    sys.exit()
signal.signal(signal.SIGTERM, leave)
"""

KAMAILIO = (
    _HEAD
    + """
if '-v' in sys.argv:
    print('version: kamailio 9.9')
    sys.exit()
config = sys.argv[sys.argv.index('-f') + 1]
say('pid %d' % os.getpid())
path = re.search(r'"dgram_socket", "([^"]+)"', open(config).read())[1]
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.bind(path)
while True:
    question, peer = sock.recvfrom(65535)
    sock.sendto(b'{"result": 1}', peer)
"""
)

RTPENGINE = (
    _HEAD
    + """
if '--version' in sys.argv:
    print('Version: 99.9')
    sys.exit()
config = next(word for word in sys.argv if word.startswith('--config-file=')).partition('=')[2]
say('pid %d' % os.getpid())
port = re.search(r'listen-ng = \\S+:(\\d+)', open(config).read())[1]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(('127.0.0.1', int(port)))
while True:
    question, peer = sock.recvfrom(65535)
    sock.sendto(question.split()[0] + b' d6:result4:ponge', peer)
"""
)

PROCESS = (
    _HEAD
    + """
kind, http_port, udp_port = sys.argv[1:]
say('pid %d' % os.getpid())
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if int(udp_port):
    udp.bind(('127.0.0.1', int(udp_port)))
server = socket.create_server(('127.0.0.1', int(http_port)))
while True:
    peer, _ = server.accept()
    peer.recv(4096)
    peer.sendall(b'HTTP/1.1 200 OK' + b'\\r\\n' * 2)
    peer.close()
"""
)


SPEECH = (
    _HEAD
    + """
def leave(*_):
    say('bye')
    os.unlink(sys.argv[1])
    sys.exit()
signal.signal(signal.SIGTERM, leave)
say('pid %d' % os.getpid())
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(sys.argv[1])
server.listen()
while True:
    peer, _ = server.accept()
    peer.close()
"""
)


def program(path: Path, text: str) -> str:
    """Write an executable Python program; returns its path."""
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return str(path)


def settings(folder: Path) -> Settings:
    """A node in `folder` on ports of our own, whose servers are stand-ins."""
    api, sip, evapi, ng, cli, http, control, rtp = spare_range(8)
    return Settings(
        run_dir=folder / "run",
        api=Api(port=api),
        sip=Sip(address=HOST, port=sip),
        kamailio=Kamailio(program=program(folder / "kamailio", KAMAILIO), evapi_port=evapi),
        rtpengine=Rtpengine(
            program=program(folder / "rtpengine", RTPENGINE),
            ng_port=ng,
            cli_port=cli,
            http_port=http,
            port_min=1100,
            port_max=1200,
        ),
        control=Control(port=control),
        media=Media(rtp_port=rtp),
        up=Up(
            bot=program(
                folder / "bot.py", _HEAD + "say('bot at ' + os.environ['SIDECALL_URL'])\nsignal.pause()"
            )
        ),
    )


def toml(settings: Settings) -> str:
    """`settings` (only what `settings()` above sets) as a configuration file."""
    lines = [f'run_dir = "{settings.run_dir}"']
    for name in ("api", "sip", "kamailio", "rtpengine", "control", "media", "up"):
        section = getattr(settings, name)
        lines.append(f"[{name}]")
        values = section.model_dump(include=section.model_fields_set)
        lines += [
            f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
            for key, value in values.items()
        ]
    return "\n".join(lines)

"""Offers as browsers and WebRTC libraries write them, cut to what they differ in; `OFFERS` has them by name."""

from typing import Final

FINGERPRINT: Final = "a=fingerprint:sha-256 " + ":".join(["5A"] * 32)
_ICE = "a=ice-ufrag:Zk4T\na=ice-pwd:kW2rI1ZXqf0zv7pJ4mYhN5sB\na=ice-options:trickle"
_DTLS = f"{FINGERPRINT}\na=setup:actpass"
_CHROME_FORMATS = "111 63 9 0 8 13 110 126"
_CHROME_MAPS = """a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000"""
_CHROME_EXTENSIONS = """a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid"""
_CHROME_STREAM = """a=msid:f3Qk track-1
a=rtcp-mux
a=rtcp-rsize
a=ssrc:3735928559 cname:Vq8h
a=ssrc:3735928559 msid:f3Qk track-1"""
_HOST = "a=candidate:1467250027 1 udp 2122260223 192.168.1.17 46243 typ host generation 0 network-id 1"
_HOST6 = "a=candidate:2999745851 1 udp 2122197247 2001:db8::17 46244 typ host generation 0 network-id 2"
_SRFLX = "a=candidate:842163049 1 udp 1677729535 203.0.113.9 46243 typ srflx raddr 192.168.1.17 rport 46243"
_TCP = "a=candidate:12345 1 tcp 1518280447 192.168.1.17 9 typ host tcptype active generation 0"
_MDNS = "a=candidate:3868024419 1 udp 2113937151 0c6c4b3e-7d0a-4b8e-9c39-0dd0a1f2b3c4.local 51472 typ host generation 0"


def _chrome_session(group: str) -> str:
    return f"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE {group}
a=extmap-allow-mixed
a=msid-semantic: WMS f3Qk"""


def _chrome_audio(
    *candidates: str, port: int = 9, address: str = "0.0.0.0", mid: str = "0", direction: str = "sendrecv"
) -> str:
    family = "IP6" if ":" in address else "IP4"
    return "\n".join(
        (
            f"m=audio {port} UDP/TLS/RTP/SAVPF {_CHROME_FORMATS}",
            f"c=IN {family} {address}",
            "a=rtcp:9 IN IP4 0.0.0.0",
            *candidates,
            f"{_ICE}\n{_DTLS}\na=mid:{mid}\n{_CHROME_EXTENSIONS}\na={direction}\n{_CHROME_STREAM}\n{_CHROME_MAPS}",
        )
    )


_CHROME_VIDEO = f"""m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
{_ICE}
{_DTLS}
a=mid:1
a=sendrecv
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=simulcast:send h;l"""
_CHROME_DATA = f"""m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{_ICE}
{_DTLS}
a=mid:2
a=sctp-port:5000"""

_FIREFOX = f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 5629499534213120 0 IN IP4 0.0.0.0
s=-
t=0 0
{FINGERPRINT}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 50112 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 198.51.100.20
a=candidate:0 1 UDP 2122252543 10.0.0.5 50112 typ host
a=candidate:1 1 UDP 1686052863 198.51.100.20 50112 typ srflx raddr 10.0.0.5 rport 50112
a=end-of-candidates
a=sendrecv
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:8b1d1b7c1fb4a2dd2ae7a0c2d7c1f1aa
a=ice-ufrag:5e4a7b11
a=mid:0
a=msid:{{8a4d3a58}} {{c2a0be3d}}
a=rtcp:50113 IN IP4 198.51.100.20
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=setup:actpass
a=ssrc:1234 cname:{{5b1f}}"""

_FIREFOX_MAX_BUNDLE = f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 77 0 IN IP4 0.0.0.0
s=-
t=0 0
{FINGERPRINT}
a=group:BUNDLE v a
a=ice-options:trickle
m=video 9 UDP/TLS/RTP/SAVPF 120
c=IN IP4 0.0.0.0
{_HOST}
a=sendrecv
a=ice-pwd:8b1d1b7c1fb4a2dd2ae7a0c2d7c1f1aa
a=ice-ufrag:5e4a7b11
a=mid:v
a=rtcp-mux
a=rtpmap:120 VP8/90000
a=setup:actpass
m=audio 0 UDP/TLS/RTP/SAVPF 109 101
c=IN IP4 0.0.0.0
a=bundle-only
a=sendrecv
a=mid:a
a=rtpmap:109 opus/48000/2
a=rtpmap:101 telephone-event/8000"""

_SAFARI = f"""v=0
o=- 2087331843221435932 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS 5fb2
m=audio 61234 UDP/TLS/RTP/SAVPF 111 103 9 102 0 8 105 13 110 113 126
c=IN IP4 192.168.1.30
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2113937151 192.168.1.30 61234 typ host generation 0 network-cost 999
{_ICE}
{_DTLS}
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:103 ISAC/16000
a=rtpmap:9 G722/8000
a=rtpmap:102 ILBC/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:105 CN/16000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:113 telephone-event/16000
a=rtpmap:126 telephone-event/8000"""

_AIORTC = f"""v=0
o=- 3944649600 3944649600 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic:WMS *
m=audio 40404 UDP/TLS/RTP/SAVPF 96 9 0 8
c=IN IP4 10.1.2.3
a=sendrecv
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=mid:0
a=msid:1d1b9c20 6f0a
a=rtcp:9 IN IP4 0.0.0.0
a=rtcp-mux
a=ssrc:3141592653 cname:b7e1
a=rtpmap:96 opus/48000/2
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=candidate:9d1 1 udp 2130706431 10.1.2.3 40404 typ host
a=end-of-candidates
a=ice-ufrag:SAg1
a=ice-pwd:iWmYJ3qv1i5wPp0f8nVbkQ
{_DTLS}"""

_NO_OPUS = f"""v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
{_ICE}
{_DTLS}
m=audio 9 RTP/SAVPF 8 96
c=IN IP4 0.0.0.0
a=rtcp-mux
a=rtpmap:96 telephone-event/8000"""

_CANDIDATES = (_HOST, _HOST6, _SRFLX, _TCP)
_PLAIN = {
    "chrome": f"{_chrome_session('0')}\n{_chrome_audio(*_CANDIDATES, port=46243, address='203.0.113.9')}",
    "chrome, everything": "\n".join(
        (
            _chrome_session("0 1 2"),
            _chrome_audio(*_CANDIDATES, port=46243, address="203.0.113.9"),
            _CHROME_VIDEO,
            _CHROME_DATA,
        )
    ),
    "chrome, trickle": f"{_chrome_session('0')}\n{_chrome_audio()}",
    "chrome, mDNS": f"{_chrome_session('0')}\n{_chrome_audio(_MDNS)}",
    "chrome, mDNS with a port": f"{_chrome_session('0')}\n{_chrome_audio(_MDNS, _SRFLX, port=51472)}",
    "chrome, IPv6 by default": (
        f"{_chrome_session('0')}\n{_chrome_audio(_HOST6, _HOST, port=46244, address='2001:db8::17')}"
    ),
    "chrome, video first": f"{_chrome_session('1 0')}\n{_CHROME_VIDEO}\n{_chrome_audio()}",
    "chrome, listens only": f"{_chrome_session('0')}\n{_chrome_audio(_HOST, direction='recvonly')}",
    "chrome, two microphones": (
        f"{_chrome_session('0 1')}\n{_chrome_audio(_HOST)}\n{_chrome_audio(_HOST, mid='1')}"
    ),
    "firefox": _FIREFOX,
    "firefox, max-bundle, video first": _FIREFOX_MAX_BUNDLE,
    "safari": _SAFARI,
    "aiortc": _AIORTC,
    "no opus, no BUNDLE, no mid": _NO_OPUS,
}
OFFERS: Final = {name: text.replace("\n", "\r\n") + "\r\n" for name, text in _PLAIN.items()}

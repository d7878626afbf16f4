"""Just enough of SIP's grammar for a test peer; on purpose not the product's own parser."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}
Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Message:
    """A SIP message; header names as received, values trimmed."""

    start: str
    headers: Headers
    body: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Take a datagram apart (header folding is not known here)."""
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        fields = (line.partition(":") for line in lines)
        return cls(start, [(name.strip(), value.strip()) for name, _, value in fields], body)

    def encode(self) -> bytes:
        """Return the datagram, with the Content-Length that fits."""
        body = self.body.encode()
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def all(self, name: str) -> list[str]:
        """Return every value of a header field, in order."""
        return [value for key, value in self.headers if COMPACT.get(key.lower(), key.lower()) == name.lower()]

    def get(self, name: str) -> str:
        """Return the first value of a header field; empty when absent."""
        return next(iter(self.all(name)), "")

    @property
    def method(self) -> str:
        """The method of a request, or the one that a response answers."""
        return self.get("CSeq").split()[-1] if self.code else self.start.split(" ")[0]

    @property
    def code(self) -> int:
        """The status code of a response; 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def uri(self) -> str:
        """The Request-URI."""
        return self.start.split(" ")[1]

    @property
    def cseq(self) -> int:
        """The number in CSeq."""
        return int(self.get("CSeq").split()[0])

    def tag(self, name: str) -> str:
        """Return the tag of From or To; empty when absent."""
        found = re.search(r";tag=([^;>\s]+)", self.get(name))
        return found[1] if found else ""


def uri_of(name_addr: str) -> str:
    """Return the URI of a name-addr or addr-spec."""
    found = re.search(r"<([^>]*)>", name_addr)
    return found[1] if found else name_addr.split(";")[0].strip()


def sdp(host: str, port: int, *, codecs: str = "0 8 101", direction: str = "sendrecv") -> str:
    """Return a session description with one audio stream; `codecs` are payload types."""
    names = {
        "0": "PCMU/8000",
        "8": "PCMA/8000",
        "9": "G722/8000",
        "18": "G729/8000",
        "96": "opus/48000/2",
        "97": "PCMU/16000",
        "101": "telephone-event/8000",
        "110": "telephone-event/48000",
    }
    lines = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    lines += [f"m=audio {port} RTP/AVP {codecs}"]
    lines += [f"a=rtpmap:{codec} {names[codec]}" for codec in codecs.split()]
    return "\r\n".join([*lines, "a=ptime:20", f"a={direction}", ""])


def media_address(description: str) -> tuple[str, int]:
    """Return where an SDP wants its audio sent."""
    host = re.search(r"^c=IN IP4 (\S+)", description, re.MULTILINE)
    port = re.search(r"^m=audio (\d+)", description, re.MULTILINE)
    if host is None or port is None:
        raise ValueError(f"no IPv4 audio in {description!r}")
    return host[1], int(port[1])


def digest_fields(header: str) -> dict[str, str]:
    """Return the parameters of an Authorization or a challenge."""
    pairs = re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', header)
    return {name.lower(): quoted or bare for name, quoted, bare in pairs}


def _digest_response(fields: dict[str, str], method: str, password: str) -> str:
    """Compute ``response`` from all other parameters of an Authorization (RFC 7616 section 3.4.1)."""
    algorithm = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[fields.get("algorithm", "MD5")]

    def digest(*parts: str) -> str:
        return algorithm(":".join(parts).encode()).hexdigest()

    first = digest(fields["username"], fields["realm"], password)
    second = digest(method, fields["uri"])
    if fields.get("qop") == "auth":
        return digest(first, fields["nonce"], fields["nc"], fields["cnonce"], "auth", second)
    return digest(first, fields["nonce"], second)


def digest_fits(header: str, method: str, username: str, password: str) -> bool:
    """Whether an Authorization shows that its sender is `username` and knows the password."""
    fields = digest_fields(header)
    return fields["username"] == username and fields["response"] == _digest_response(fields, method, password)


def answer_challenge(challenge: str, method: str, uri: str, username: str, password: str) -> str:
    """Return the Authorization that answers a challenge with ``qop=auth``."""
    asked = digest_fields(challenge)
    fields = {"username": username, "uri": uri, "qop": "auth", "nc": "00000001", "cnonce": "c0ffee"}
    fields |= {name: value for name, value in asked.items() if name in ("realm", "nonce", "algorithm")}
    fields["response"] = _digest_response(fields, method, password)
    bare = ("algorithm", "qop", "nc")
    parts = (f"{name}={value}" if name in bare else f'{name}="{value}"' for name, value in fields.items())
    return "Digest " + ", ".join(parts)

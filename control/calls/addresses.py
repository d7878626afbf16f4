"""Which of our addresses and interfaces a peer meets."""

from typing import Literal

from control.config import Sip, is_loopback


def interface(local: str) -> Literal["pub", "int"]:
    """rtpengine's interface towards a peer that reaches us at `local`."""
    return "int" if is_loopback(local) else "pub"


def advertised(settings: Sip, local: str) -> str:
    """The address that a peer which reaches us at `local` is told: ours, or the public one of 1:1 NAT."""
    return local if is_loopback(local) or settings.advertise is None else settings.advertise


def contact(settings: Sip, user: str, local: str, transport: str) -> str:
    """URI of our Contact for a peer that reaches us at `local` over `transport`."""
    suffix = "" if transport == "udp" else f";transport={transport}"
    return f"sip:{user or 'sidecall'}@{advertised(settings, local)}:{settings.port}{suffix}"

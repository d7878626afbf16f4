"""Channels to Kamailio: evapi events and JSON-RPC commands."""

"""Sans-I/O SIP user agent: bytes and messages in, effects out (RFC 3261)."""

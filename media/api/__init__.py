"""API for bots: WebSocket commands and events, REST."""

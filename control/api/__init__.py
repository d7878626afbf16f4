"""Leg API between media workers and control: JSON-RPC 2.0 over WebSocket."""

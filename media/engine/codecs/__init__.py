"""Codecs that are coded call by call: one coder per slot. G.711 is batched, see `media.engine.g711`."""

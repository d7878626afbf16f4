"""The end of a turn: when the caller has finished, and who says so."""

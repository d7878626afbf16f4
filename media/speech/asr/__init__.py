"""Speech recognition: one provider a file."""

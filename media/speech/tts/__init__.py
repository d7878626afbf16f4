"""Speech synthesis: one provider a file."""

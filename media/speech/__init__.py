"""Speech synthesis and recognition, outside the media thread."""

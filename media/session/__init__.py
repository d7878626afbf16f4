"""One bot connection and its call: one file per command family."""

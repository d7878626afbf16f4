"""The bot's commands: one a file, with its fields, when it fits and what it does."""

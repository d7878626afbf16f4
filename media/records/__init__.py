"""What is kept of calls: dumps of commands and events, and call detail records."""

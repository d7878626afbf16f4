"""The tick engine: every call of a worker, processed together every 20 ms."""

"""The speech process of a node: all providers, all models, all connections to them; workers are its clients."""

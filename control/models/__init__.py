"""Models of speech engines: named in the configuration, fetched, verified and kept in one folder."""

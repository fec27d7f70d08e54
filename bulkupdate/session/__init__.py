"""A session of a run: prepare, send, close."""

"""One run: prepare, send, close."""

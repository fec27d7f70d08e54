"""The only place that knows HTTP, the key and lemlist's names: one request, one answer."""

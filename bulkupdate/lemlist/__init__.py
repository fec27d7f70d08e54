"""The HTTP client of lemlist. Only this package knows HTTP, the key and lemlist's names."""

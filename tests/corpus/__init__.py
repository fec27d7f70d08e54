"""Files as people really have them, each beside what must come of it."""

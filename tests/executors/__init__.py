"""One suite for every executor of edits: a local run, and a fleet."""

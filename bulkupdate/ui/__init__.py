"""The user interface: progress, messages and metrics of a run."""

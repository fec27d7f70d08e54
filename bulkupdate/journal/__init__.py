"""Results to the run directory, and back."""

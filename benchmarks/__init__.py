"""Benchmarks of bulkupdate, and the programs that it is compared with."""

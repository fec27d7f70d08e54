"""Tests of `bulkupdate.cli`."""

"""Tests of `bulkupdate.sandbox`."""

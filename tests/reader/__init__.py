"""Tests of `bulkupdate.reader`."""

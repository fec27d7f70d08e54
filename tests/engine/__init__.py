"""Tests of `bulkupdate.engine`."""

"""Tests of `bulkupdate.ui`."""

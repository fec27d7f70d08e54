"""Tests of `bulkupdate.report`."""

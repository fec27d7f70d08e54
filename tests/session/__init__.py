"""Tests of `bulkupdate.session`."""

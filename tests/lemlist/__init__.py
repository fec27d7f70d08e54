"""Tests of `bulkupdate.lemlist`."""

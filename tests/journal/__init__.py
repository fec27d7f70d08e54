"""Tests of `bulkupdate.journal`."""

"""Tests of `bulkupdate.plan`."""

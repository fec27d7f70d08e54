"""Tests of the fleet, with a PostgreSQL of their own."""

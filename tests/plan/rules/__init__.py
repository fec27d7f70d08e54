"""Tests of rules: which live tasks change every night, and how."""

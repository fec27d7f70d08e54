"""Tests of the README, the docs and the recipes."""

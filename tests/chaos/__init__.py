"""Chaos tests: the real command with crashes, signals and outages, until every row is settled.

`python -m tests.chaos --crashes 300 --seed 1` is the long version. The tests run a short one.
"""

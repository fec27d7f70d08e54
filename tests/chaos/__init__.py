"""The real command under crashes, signals, stops and outages, until every row is settled.

`python -m tests.chaos --crashes 300 --seed 1` is the long version; the tests run a short one.
"""

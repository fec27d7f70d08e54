"""Rules: which live tasks change every night, and how.

::

    a file of rules ──▶ Rules ──┐
    file, places                ├──▶ selected ──▶ dealt ──▶ what to change, and what to expect
    the live tasks ─▶ LiveTask ─┘    conditions   dealing   evaluation
"""

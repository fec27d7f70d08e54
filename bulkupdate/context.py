"""The account that the present task works for, so that a log record can name it.

The tasks of an account set it. Tasks, timers and threads that they start have it too.
"""

from contextvars import ContextVar

#: The name of the account; "" in a run with one key, and in what all accounts share.
ACCOUNT: ContextVar[str] = ContextVar("account", default="")

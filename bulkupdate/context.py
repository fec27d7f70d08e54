"""What is known of the present task where nobody passes it on.

The tasks of an account set `ACCOUNT`. Tasks, timers and threads that they start have it too.
"""

import math
from contextvars import ContextVar

#: The name of the account; "" in a run with one key, and in what all accounts share.
ACCOUNT: ContextVar[str] = ContextVar("account", default="")

#: The moment, by `time.monotonic`, until which a request of this task may start. A permit that
#: expires sets it.
START_UNTIL: ContextVar[float] = ContextVar("start_until", default=math.inf)

#: Seconds by which it may start after that moment if a connection had to be made for it.
CONNECT_LATE: ContextVar[float] = ContextVar("connect_late", default=0.0)


class PermitExpiredError(Exception):
    """A request was not sent: its permit has expired. Another permit is needed."""

"""Bulk edits of lemlist tasks: checked first, paced to the limit, every row accounted for.

What the command line does, a program can::

    summary = await bulkupdate.run(RunConfig(input="edits.csv", endpoint=endpoint))

    async for result in bulkupdate.update_tasks(updates, endpoint):
        ...

    async with TaskClient(endpoint) as client:
        task = await client.update(TaskUpdate(id="opp_…", done=True))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bulkupdate._version import __version__

if TYPE_CHECKING:
    from bulkupdate.config import (
        ApiKey,
        Endpoint,
        FailureLimit,
        Mode,
        RateLimit,
        RetryPolicy,
        RunConfig,
    )
    from bulkupdate.engine.stream import update_tasks
    from bulkupdate.errors import (
        BulkUpdateError,
        ConfigError,
        InputError,
        InvalidUpdateError,
        JournalError,
        RunDirectoryError,
        RunInUseError,
        RunStoppedError,
        TaskError,
    )
    from bulkupdate.journal.summary import State, Summary
    from bulkupdate.lemlist.client import TaskClient
    from bulkupdate.models import Outcome, Result, Task, TaskUpdate
    from bulkupdate.reader.options import Format, ReadOptions
    from bulkupdate.report import write_report
    from bulkupdate.session.observer import Observer, Progress
    from bulkupdate.session.pipeline import run
    from bulkupdate.stop import Stop

__all__ = [
    "ApiKey",
    "BulkUpdateError",
    "ConfigError",
    "Endpoint",
    "FailureLimit",
    "Format",
    "InputError",
    "InvalidUpdateError",
    "JournalError",
    "Mode",
    "Observer",
    "Outcome",
    "Progress",
    "RateLimit",
    "ReadOptions",
    "Result",
    "RetryPolicy",
    "RunConfig",
    "RunDirectoryError",
    "RunInUseError",
    "RunStoppedError",
    "State",
    "Stop",
    "Summary",
    "Task",
    "TaskClient",
    "TaskError",
    "TaskUpdate",
    "__version__",
    "run",
    "update_tasks",
    "write_report",
]

_HOMES = {
    "lemlist.client": ("TaskClient",),
    "config": (
        "ApiKey",
        "Endpoint",
        "FailureLimit",
        "Mode",
        "RateLimit",
        "RetryPolicy",
        "RunConfig",
    ),
    "errors": (
        "BulkUpdateError",
        "ConfigError",
        "InputError",
        "InvalidUpdateError",
        "JournalError",
        "RunDirectoryError",
        "RunInUseError",
        "RunStoppedError",
        "TaskError",
    ),
    "models": ("Outcome", "Result", "Task", "TaskUpdate"),
    "session.observer": ("Observer", "Progress"),
    "session.pipeline": ("run",),
    "reader.options": ("Format", "ReadOptions"),
    "report": ("write_report",),
    "stop": ("Stop",),
    "engine.stream": ("update_tasks",),
    "journal.summary": ("State", "Summary"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `bulkupdate --help` needs no HTTP library."""
    if name not in _HOME:
        raise AttributeError(f"module 'bulkupdate' has no attribute {name!r}")
    return getattr(import_module(f"bulkupdate.{_HOME[name]}"), name)

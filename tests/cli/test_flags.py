"""The flags of `bulkupdate run`, and the settings of a run from Python."""

import inspect

from bulkupdate.cli.run import run_command
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.session.settings import RunConfig


def test_defaults_of_flags_are_those_of_python() -> None:
    """A run from Python behaves as the command does, as long as nothing is set."""
    of_python = {
        one.name: one.default
        for of in (RunConfig, RetryPolicy, Endpoint)
        for one in inspect.signature(of).parameters.values()
    }
    of_flags = {
        one.name: one.default
        for one in run_command.params
        if one.name in of_python and isinstance(one.default, int | float | str)
    }
    assert of_flags == {name: of_python[name] for name in of_flags}
    assert of_flags.keys() >= {"give_up_after", "max_age", "max_attempts", "timeout", "workers"}

"""Tests that each flag of `bulkupdate sandbox` sets its setting."""

from dataclasses import fields, replace
from typing import Any

import click
import pytest

from bulkupdate.cli.command import flags_in_messages
from bulkupdate.cli.sandbox import _sandbox_config, sandbox_command
from bulkupdate.errors import ConfigError
from bulkupdate.sandbox import AfterLast, Bounds, Order, SandboxConfig


def config_of(*arguments: str) -> SandboxConfig:
    """The settings that these arguments stand for."""
    context = sandbox_command.make_context("sandbox", list(arguments))
    return _sandbox_config(context.params)


def test_defaults_of_flags_are_those_of_settings() -> None:
    """Without flags, each setting but the port has the default that it has in Python."""
    assert replace(config_of(), port=0) == SandboxConfig(ignored_filters=(), hidden=())


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ("--page-size 7", {"page_size": 7}),
        ("--after-last repeat", {"after_last": AfterLast.REPEAT}),
        ("--after-last 404", {"after_last": AfterLast.NOT_FOUND}),
        ("--ignore-filter type --ignore-filter all", {"ignored_filters": ("type", "all")}),
        ("--due-bounds exclusive", {"due_bounds": Bounds.EXCLUSIVE}),
        ("--hide content --hide status", {"hidden": ("content", "status")}),
        ("--order random", {"order": Order.RANDOM}),
        ("--order newest", {"order": Order.NEWEST}),
        ("--shift 3", {"shift": 3}),
        ("--elsewhere 0.5", {"elsewhere": 0.5}),
        ("--lag 1.5", {"lag": 1.5}),
        ("--done-false ignored", {"reopens": False}),
        ("--done-false reopens", {"reopens": True}),
        ("--trim", {"trims": True}),
        ("--closed team=402 --closed users=html", {"closed": {"team": 402, "users": "html"}}),
        ("--closed senders=402", {"closed": {"senders": 402}}),
        ("--team-version 1", {"team_version": 1}),
    ],
)
def test_flag_sets_its_setting(arguments: str, settings: dict[str, Any]) -> None:
    """A flag sets the setting that it names, and no other."""
    assert config_of(*arguments.split()) == replace(config_of(), **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--page-size 0", "--page-size must be 1 or more"),
        ("--hide message", "'message' is not a field that a list can hide"),
        ("--ignore-filter status", "'status' is not a filter that can be ignored"),
        ("--shift -1", "--shift must be a number of tasks, 0 or more"),
        ("--elsewhere 2", "--elsewhere must be a probability, from 0 to 1"),
        ("--lag nan", "--lag must be a number of seconds, 0 or more"),
        ("--order oldest", "'oldest' is not one of"),
        ("--closed team", "'team' closes no route: write it as team=402 or team=html"),
        ("--closed team=ok", "a closed route answers a status from 400 to 599, or html"),
        ("--closed tasks=402", "'tasks' is not a route that can be closed"),
    ],
)
def test_wrong_flag_is_refused(arguments: str, message: str) -> None:
    """A wrong value of a flag is refused, and the message says what would be right."""
    with pytest.raises((ConfigError, click.UsageError)) as refused, flags_in_messages():
        config_of(*arguments.split())
    text = refused.value.message if isinstance(refused.value, click.UsageError) else refused.value
    assert message in str(text)


def test_every_setting_has_a_flag() -> None:
    """Each setting in Python can be set by a flag."""
    names = {field.name for field in fields(SandboxConfig)}
    renamed = {"exposed": "expose", "key": "api_key", "unknown": "unknown_id"}
    renamed |= {"reopens": "done_false", "trims": "trim"}
    flags = {parameter.name for parameter in sandbox_command.params}
    assert {renamed.get(name, name) for name in names} == flags - {
        "tasks", "accounts", "make_keys", "number",
    }  # fmt: skip

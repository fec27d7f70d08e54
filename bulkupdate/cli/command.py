"""Commands with examples in their help, and flags with environment variables."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import cloup
from click.core import ParameterSource

from bulkupdate.cli.environment import unknown, variable_of
from bulkupdate.errors import spelling

#: Name of a setting in Python → its flag, if they differ.
_FLAGS = {
    "constants": "--set",
    "date_formats": "--date-format",
    "mapping": "--map",
    "replace": "--overwrite",
    "rules": "--rule",
}


def flag_of(name: str) -> str:
    """The flag of a setting, from its name in Python."""
    return _FLAGS.get(name) or f"--{name.replace('_', '-')}"


class Command(cloup.Command):
    """A command with examples, and an environment variable for each flag but a `TypedOption`.

    `BULKUPDATE_MAX_ATTEMPTS` sets `--max-attempts`. The command line wins over the environment.
    `1` sets a flag without a value, `0` does not. A flag that can be given several times takes a
    value from each line. Messages name settings by their flags.

    Args:
        examples: command lines, each with a description.
    """

    def __init__(
        self, *args: Any, examples: tuple[tuple[str, str], ...] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments."""
        with flags_in_messages():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with flags_in_messages():
            return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, and refuse variables that are set but empty, or set no flag.

        The error for a wrong value in a variable names the variable.
        """
        try:
            rest = super().parse_args(ctx, args)
        except click.BadParameter as error:
            culprit = error.param
            if culprit is None or (
                ctx.get_parameter_source(culprit.name or "") is not ParameterSource.ENVIRONMENT
            ):
                raise
            message = f"{error.message} (the value of ${culprit.envvar})"
            raise click.BadParameter(message, ctx, culprit) from None
        if not ctx.resilient_parsing:
            self._refuse_empty()
            self._refuse_unknown(ctx)
        return rest

    def _refuse_empty(self) -> None:
        for name in self.variables:
            if not os.environ.get(name, "-").strip():
                raise click.UsageError(f"${name} is set but empty: give it a value, or unset it")

    def _refuse_unknown(self, ctx: click.Context) -> None:
        if not any(unknown(os.environ, self.variables)):
            return
        # Now the other commands are imported too: their variables are no mistake.
        group = ctx.find_root().command
        commands: list[click.Command | None] = [self]
        if isinstance(group, click.Group):
            commands += [group.get_command(ctx, name) for name in group.list_commands(ctx)]
        ours = [one for one in commands if isinstance(one, Command)]
        known = [name for one in ours for name in one.variables]
        typed = [flag for one in ours for flag in one.only_typed]
        if messages := list(unknown(os.environ, known, typed)):
            raise click.UsageError("\n".join(messages))

    @property
    def variables(self) -> list[str]:
        """The environment variables of the flags."""
        return [str(parameter.envvar) for parameter in self.params if parameter.envvar]

    @property
    def only_typed(self) -> list[str]:
        """The flags that no environment variable sets."""
        return [one.opts[0] for one in self.params if isinstance(one, TypedOption)]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, and a note about environment variables."""
        if self.examples:
            with formatter.section("Examples"):
                for line, what in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
                    formatter.write(f"{'':{formatter.current_indent + 4}}{what}\n")
        named = [parameter for parameter in self.params if parameter.envvar]
        if named:
            first = named[0]
            but = f" except {', '.join(self.only_typed)}" if self.only_typed else ""
            formatter.write_paragraph()
            formatter.write_text(
                f"An environment variable can set each flag{but}:"
                f" ${first.envvar} sets {max(first.opts, key=len)}."
            )
        super().format_epilog(ctx, formatter)


class Option(cloup.Option):
    """A flag that an environment variable can set too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.envvar = variable_of(max(self.opts, key=len))


class TypedOption(cloup.Option):
    """A flag that answers for one command, so that no environment variable sets it."""


class Repeatable(Option):
    """A flag that can be given several times; a variable holds one value on each line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, multiple=True, **kwargs)

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """The lines of the variable, without blank lines."""
        value = self.resolve_envvar_value(ctx)
        return None if value is None else [line for line in value.splitlines() if line.strip()]


def option(*names: str, cls: type[Option] = Option, **settings: Any) -> Any:
    """A flag that an environment variable can set too, as a decorator."""
    return cloup.option(*names, cls=cls, **settings)


def typed_option(*names: str, **settings: Any) -> Any:
    """A flag that no environment variable can set, as a decorator."""
    return cloup.option(*names, cls=TypedOption, **settings)


@contextmanager
def flags_in_messages() -> Iterator[None]:
    """A block whose messages name settings by their flags."""
    token = spelling.set(flag_of)
    try:
        yield
    finally:
        spelling.reset(token)

"""A command whose flags stand in groups in its help, and can be set in the environment too."""

import difflib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.core import ParameterSource

#: What the names of the variables begin with.
PREFIX = "BULKUPDATE_"


class Command(click.Command):
    """A command with grouped flags and examples, and a variable for each flag.

    `--max-attempts` can be set as `BULKUPDATE_MAX_ATTEMPTS`. What the command line says wins.
    A flag that takes no value is set by `1` and left alone by `0`; one that can be given several
    times takes a value from each line.

    Args:
        groups: the title of each group, and the flags in it, as in `--rate`.
        examples: command lines, each with what it does.
    """

    def __init__(
        self,
        *args: Any,
        groups: Mapping[str, tuple[str, ...]],
        examples: tuple[tuple[str, str], ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.groups = groups
        self.examples = examples
        for parameter in self.params:
            if isinstance(parameter, click.Option):
                parameter.envvar = variable(parameter)
        self._options = {_flag(parameter): parameter for parameter in self.params}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse a variable that is set and empty: what it was to say is not known.

        Where one has a wrong value, say that it was the variable.
        """
        try:
            rest = super().parse_args(ctx, args)
        except click.BadParameter as error:
            culprit = error.param
            if culprit is None or (
                ctx.get_parameter_source(culprit.name or "") is not ParameterSource.ENVIRONMENT
            ):
                raise
            message = f"{error.message} (this is what ${culprit.envvar} says)"
            raise click.BadParameter(message, ctx, culprit) from None
        if not ctx.resilient_parsing:
            self._refuse_empty()
        return rest

    def _refuse_empty(self) -> None:
        for parameter in self.params:
            name = parameter.envvar
            if isinstance(name, str) and not os.environ.get(name, "-").strip():
                raise click.UsageError(f"${name} is set and empty: give it a value, or unset it")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, group by group."""
        for title, flags in self.groups.items():
            records = [self._options[flag].get_help_record(ctx) for flag in flags]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])
        with formatter.section("Help"):
            formatter.write_dl([("-h, --help", "Show this message and exit.")])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, and how to set flags in the environment."""
        if self.examples:
            with formatter.section("Examples"):
                for line, what in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
                    formatter.write(f"{'':{formatter.current_indent + 4}}{what}\n")
        first = next(iter(next(iter(self.groups.values()))))
        formatter.write_paragraph()
        formatter.write_text(
            f"Every flag can be set in the environment too: {first} as"
            f" ${variable(self._options[first])}."
        )
        super().format_epilog(ctx, formatter)

    def strangers(self, environ: Mapping[str, str]) -> Iterator[str]:
        """What to say of each variable that looks like one of ours, and sets no flag."""
        known = [str(parameter.envvar) for parameter in self.params if parameter.envvar]
        for name in sorted(environ):
            if name.startswith(PREFIX) and name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                meant = f": did you mean ${close[0]}?" if close else ""
                yield f"${name} sets no flag of {self.name}{meant}"


class Repeatable(click.Option):
    """A flag that can be given several times; a variable holds one value on each line."""

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """The lines of the variable, blank ones left out."""
        value = self.resolve_envvar_value(ctx)
        return None if value is None else [line for line in value.splitlines() if line.strip()]


def variable(parameter: click.Parameter) -> str:
    """The environment variable that sets a flag."""
    return PREFIX + _flag(parameter).removeprefix("--").replace("-", "_").upper()


def _flag(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len)

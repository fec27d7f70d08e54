"""The command line: flags in, exit code out. The only place that prints or exits."""

import click

from bulkupdate._version import __version__
from bulkupdate.cli.check import check_command
from bulkupdate.cli.run import run_command
from bulkupdate.cli.sandbox import sandbox_command

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Bulk edits of lemlist tasks from a CSV or JSONL file.

    The whole file is checked before anything is sent, requests are paced to the API's limit,
    and every row ends up in a results log.
    """


cli.add_command(run_command)
cli.add_command(check_command)
cli.add_command(sandbox_command)

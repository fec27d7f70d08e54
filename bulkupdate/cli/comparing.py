"""Flags about what goes out: those that `run` and `plan` share."""

import click

from bulkupdate.cli.command import option
from bulkupdate.cli.options import Setting
from bulkupdate.session.settings import ChangeLimit

skip_invalid_option = option(
    "--skip-invalid",
    is_flag=True,
    help="Leave out the rows that are invalid, and go on with the others.",
)

unlisted_option = option(
    "--unlisted",
    type=click.Choice(["conflict", "send"]),
    default="conflict",
    show_default=True,
    help="What becomes of a row whose task is not listed.",
)

max_changes_option = option(
    "--max-changes",
    type=Setting("changes", ChangeLimit.parse),
    metavar="N|N%",
    help="Refuse INPUT if more than N tasks, or N% of those listed, would change.",
)

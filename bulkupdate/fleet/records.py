"""What a fleet keeps in its tables: edits, and the settings of runs."""

from typing import Any

import msgspec

from bulkupdate.codec import parse_record, to_json
from bulkupdate.models import PYTHON_NAMES, CheckedUpdate, Row

#: Updates that one job sends, so that a job lasts some seconds.
UPDATES = 25


class Merged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An earlier row that goes out with another one.

    Attributes:
        row: its number.
        rule: the name of its rule.
    """

    row: int
    rule: str | None = None


class Edit(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An edit, as it waits in the database.

    Attributes:
        update: the body of the request.
        rule: the name of the rule that the row comes from.
        merged: the earlier rows that go out with it.
    """

    update: dict[str, Any]
    rule: str | None = None
    merged: tuple[Merged, ...] = ()


class FleetSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The settings of a submitted run: how it is sent, and how its input is read again.

    Attributes:
        read: the options for reading the input, without the path of a file of values.
        path: the path of the input, for people.
        name: the name of the file of the input, whose suffix counts.
        value_map: whether there is a file of values.
        accounts: the names of the accounts; None for one key.
        account: the account of all rows; None where each row names its own.
        base_url: the URL of the API; "" where accounts have several.
        workers: most requests in flight, of each account.
        max_attempts: as in `RetryPolicy`.
        give_up_after: as in `RetryPolicy`.
        max_failures: the unsuccessful rows that stop an account, as text.
        skip_invalid: as in `RunConfig`.
        merge_duplicates: as in `RunConfig`.
        allow_empty: as in `RunConfig`.
        strict: as in `RunConfig`.
        compared: whether the submitter has compared the rows with the tasks.
        max_age: seconds after which such a comparison counts no more.
        people: the e-mail address or name of users by id, as far as they are known.
    """

    read: dict[str, Any]
    path: str
    name: str
    value_map: bool = False
    accounts: tuple[str, ...] | None = None
    account: str | None = None
    base_url: str = ""
    workers: int = 16
    max_attempts: int = 8
    give_up_after: float = 600.0
    max_failures: str | None = None
    skip_invalid: bool = False
    merge_duplicates: bool = False
    allow_empty: bool = False
    strict: bool = False
    compared: bool = False
    max_age: float = 1800.0
    people: dict[str, str] = {}


def edit_of(row: Row) -> bytes:
    """A row that is to be sent, as it waits in the database."""
    if row.update is None:
        raise AssertionError("only valid rows are sent")
    merged = tuple(Merged(one.number, one.rule) for one in row.merged)
    return to_json(Edit({"id": row.update.id, **row.update.changes()}, row.rule, merged))


def row_of(number: int, data: bytes, account: str) -> Row:
    """The row of an edit, as far as sending it needs it.

    Raises:
        ValueError: it is no edit.
    """
    edit = parse_record(data, Edit)
    # The submitter has checked the values.
    values: dict[str, Any] = {
        PYTHON_NAMES[name]: tuple(value) if isinstance(value, list) else value
        for name, value in edit.update.items()
    }
    update = CheckedUpdate(**values)
    id_ = update.id
    merged = tuple(
        Row(one.row, one.row, id_, update, (), "", rule=one.rule, account=account)
        for one in edit.merged
    )
    return Row(number, number, id_, update, (), "", merged, rule=edit.rule, account=account)

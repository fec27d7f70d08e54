"""Rows as bytes, for the time that they wait on disk."""

import json
from typing import Any

import msgspec

from bulkupdate.codec import parse_record, to_json
from bulkupdate.errors import Problem
from bulkupdate.models import UNSET, CheckedUpdate, Row, TaskUpdate

_NAMES = TaskUpdate.__struct_fields__
_LISTS = frozenset({"images", "videos"})


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """A row.

    Attributes:
        update: the values of its update, by their names in Python.
        cells: the record; None where it holds bytes that are no text.
        escaped: the record as JSON of its own, with such bytes as escapes; "" where there are none.
    """

    number: int
    line: int
    id: str
    update: dict[str, Any] | None
    problems: tuple[Problem, ...]
    cells: tuple[str, ...] | str | None
    escaped: str
    merged: tuple["_Stored", ...]
    shape: tuple[str, ...]
    expect: dict[str, Any] | None
    rule: str | None
    account: str


def to_bytes(row: Row) -> bytes:
    """A row as JSON, on one line."""
    try:
        return to_json(_stored(row))
    except UnicodeEncodeError:
        return to_json(_stored(row, is_escaped=True))


def from_bytes(data: bytes) -> Row:
    """The row that `to_bytes` has made this of.

    Raises:
        ValueError: it has not.
    """
    return _row(parse_record(data, _Stored))


def _stored(row: Row, *, is_escaped: bool = False) -> _Stored:
    return _Stored(
        row.number,
        row.line,
        row.id,
        None if row.update is None else _values(row.update),
        row.problems,
        None if is_escaped else row.record,
        json.dumps(row.record) if is_escaped else "",
        tuple(_stored(one, is_escaped=is_escaped) for one in row.merged),
        row.shape,
        row.expect,
        row.rule,
        row.account,
    )


def _values(update: TaskUpdate) -> dict[str, Any]:
    pairs = zip(_NAMES, msgspec.structs.astuple(update), strict=True)
    return {name: value for name, value in pairs if value is not UNSET}


def _update(values: dict[str, Any]) -> TaskUpdate:
    """The update of these values, which were checked once and are not checked again."""
    for name in _LISTS.intersection(values):
        values[name] = tuple(values[name])
    return CheckedUpdate(**values)


def _row(stored: _Stored) -> Row:
    record = stored.cells
    if record is None:
        found = json.loads(stored.escaped)
        record = found if isinstance(found, str) else tuple(found)
    return Row(
        stored.number,
        stored.line,
        stored.id,
        None if stored.update is None else _update(stored.update),
        stored.problems,
        record,
        tuple(map(_row, stored.merged)) if stored.merged else (),
        stored.shape,
        stored.expect,
        stored.rule,
        stored.account,
    )

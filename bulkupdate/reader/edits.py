"""Write a file of edits that reads back as what was meant, also after a spreadsheet has saved it.

A blank cell leaves a field alone. So a value that a cell can't hold is left blank, and counted.
Where a row makes sense only as a whole, such a row is left out.
"""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

from bulkupdate.codec import to_json, writable
from bulkupdate.errors import InputError, InvalidUpdateError
from bulkupdate.fields import IDS
from bulkupdate.models import PYTHON_NAMES, TaskUpdate, task_of
from bulkupdate.reader.accounts import ACCOUNT, MARK, MARK_KEY, MARK_VALUE
from bulkupdate.reader.artefacts import missing
from bulkupdate.reader.book import MAX_TEXT
from bulkupdate.reader.cells import Reading, Values
from bulkupdate.reader.columns import EXPECT, OWN_PREFIX
from bulkupdate.reader.encoding import LOST
from bulkupdate.reader.input import Input
from bulkupdate.reader.options import CLEAR, Format, ReadOptions
from bulkupdate.reader.output import is_formula
from bulkupdate.reader.tables import write_objects, write_table

#: Number of left out values that are named.
SHOWN = 10

#: Names of months, as spreadsheets in English, German, French, Spanish, Italian, Portuguese and
#: Dutch read them.
_MONTH = (
    r"(jan|ene|gen|feb|fev|fév|mar|mär|mrt|apr|abr|avr|may|mai|mei|mag|jun|jui|giu|jul|lug"
    r"|aug|ago|aoû|sep|set|oct|okt|ott|out|nov|dec|dez|dic|déc)[^\W\d_]*\.?"
)
#: Texts that a spreadsheet takes for a number, a date, a time or a truth value as it opens a CSV.
_CONVERTED = re.compile(
    rf"\s*([-+(]?[\d.,:/%€$£\s-]*\d[-\d.,:/%€$£\s)]*(e[+-]?\d+)?|true|false"
    rf"|\d{{1,4}}[-\s/.]*{_MONTH}([-\s/.,]*\d{{1,4}})?|{_MONTH}[-\s/.]*\d{{1,4}}(,?\s*\d{{4}})?"
    r"|\d[\d:.\s]*[ap]m?|\d{4}-\d\d-\d\dT[\d:.,]+)\s*",
    re.IGNORECASE,
)
#: Number of characters of the longest text that is compared with the pattern.
_LONGEST = 500

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Edit(NamedTuple):
    """A row of a file of edits.

    Attributes:
        id: the id of the task.
        values: the values to set, as they are sent, by field; "" for an empty one.
        own: the texts for the columns that the reader ignores.
        expect: the values that the task must have, as they would be sent, by field; "" for empty.
        account: the name of the account whose task it is; "" where there is only one.
    """

    id: str
    values: Mapping[str, Any]
    own: Mapping[str, str] = _NOTHING
    expect: Mapping[str, Any] = _NOTHING
    account: str = ""


@dataclass(slots=True)
class LeftOut:
    """The values that a file can't hold, by field.

    Attributes:
        counts: number of values, by field.
        named: the first of them, as `opp_… title`, or `acme: opp_… title`.
    """

    counts: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)

    def add(self, task_id: str, name: str, account: str = "") -> None:
        """Add a value."""
        self.counts[name] += 1
        if len(self.named) < SHOWN:
            of = f"{account}: " if account else ""
            self.named.append(f"{of}{writable(task_id)} {name}")

    def __str__(self) -> str:
        by_field = ", ".join(f"{name} {number:,}" for name, number in self.counts.items())
        more = ", …" if self.counts.total() > len(self.named) else ""
        return f"{by_field} ({', '.join(self.named)}{more})"


class EditsFile:
    """A writer of a file of edits.

    Args:
        format_: CSV, JSONL or XLSX.
        names: the fields that have a column, by their names on the wire, without `id`.
        own: the columns that the reader ignores, without their prefix.
        expected: the fields whose expectations have a column.
        is_whole: whether an empty value clears its field, and a row is left out where the file
            can't hold one of its values. Otherwise both kinds of values are left blank.
        zone: the time zone in which due dates are written, with their offset; None for UTC.
        has_mark: whether a CSV file begins with a byte order mark.
        has_accounts: whether each row names the account of its task, and the file says so.
        on_left_out: is called with each row that is left out, and the columns of the values that
            the file can't hold.

    Attributes:
        left_out: the values that it could not write. If rows are left out as a whole, a JSONL file
            holds these.
        unwritable: the values for which rows were left out, and that no file of edits holds.
        rows: number of rows so far.
        counts: number of rows that set a field, by field.
        accounts: number of rows by account.
    """

    def __init__(
        self,
        format_: Format,
        names: tuple[str, ...],
        own: tuple[str, ...] = (),
        *,
        expected: tuple[str, ...] = (),
        is_whole: bool = False,
        zone: tzinfo | None = None,
        has_mark: bool = True,
        has_accounts: bool = False,
        on_left_out: Callable[[Edit, Collection[str]], object] = lambda *_: None,
    ) -> None:
        self._on_left_out = on_left_out
        self.left_out = LeftOut()
        self.unwritable = LeftOut()
        self.rows = 0
        self.counts: Counter[str] = Counter()
        self.accounts: Counter[str] = Counter()
        self._digest = blake2b()
        self._format = format_
        self._names = names
        self._expected = expected
        self._is_whole = is_whole
        self._zone = zone
        self._has_mark = has_mark
        self._has_accounts = has_accounts
        self._own = tuple(OWN_PREFIX + name for name in own)
        values = Values(ReadOptions(), datetime.now(UTC))
        self._readings = {name: values.reading(name) for name in ("id", *names)}
        self._readings |= {EXPECT + name: values.expecting(name) for name in expected}

    def write(self, to: IO[bytes], edits: Iterable[Edit]) -> None:
        """Write the file.

        Args:
            to: gets the bytes.
            edits: the rows.

        Raises:
            OSError: it can't be written.
        """
        held = self._held(edits)
        if self._format is Format.JSONL:
            write_objects(to, (self._object(*one) for one in held))
        else:
            write_table(to, self._format, "Edits", self._table(held), has_mark=self._has_mark)

    def read_back(self, path: Path) -> None:
        """Check that a file reads back as what was written to it.

        Raises:
            InputError: it does not.
        """
        if not self.rows:
            return
        written, self._digest = self._digest, blake2b()
        options = ReadOptions(
            format=None if self._format is Format.XLSX else self._format,
            accounts=tuple(self.accounts) if self._has_accounts else None,
        )
        with Input.open(path, options=options) as source:
            for row in source.rows():
                if row.update is None:
                    raise InputError(f"row {row.number}: {row.error}")
                self._note_written(row.task, row.update.changes(), row.expect or {})
        if self._digest.digest() != written.digest():
            raise InputError("it holds other values")

    def _note_written(
        self, task: str, values: Mapping[str, Any], expect: Mapping[str, Any]
    ) -> None:
        self._digest.update(to_json([task, sorted(values.items()), sorted(expect.items())]))

    def _held(self, edits: Iterable[Edit]) -> Iterator[tuple[Edit, dict[str, Any]]]:
        """The rows that the file holds, each with its values by column, as the file has them."""
        for edit in edits:
            columns, lost = self._columns(edit)
            # Without its id, a row would be of no task.
            if "id" in lost or (lost and self._is_whole):
                self._leave_out(edit, lost)
                self._on_left_out(edit, lost)
                continue
            for name in lost:
                self.left_out.add(edit.id, name, edit.account)
            self.rows += 1
            self.accounts[edit.account] += 1
            values = {name: edit.values[name] for name in self._names if name in columns}
            expect = {one: edit.expect[one] for one in self._expected if EXPECT + one in columns}
            self.counts.update(values.keys())
            self._note_written(task_of(edit.account, edit.id), values, expect)
            yield edit, columns

    def _leave_out(self, edit: Edit, lost: Mapping[str, Any]) -> None:
        is_in_jsonl = all(_is_accepted(edit.id, *one) for one in lost.items())
        is_nowhere = self._is_whole and not is_in_jsonl
        for name in lost:
            (self.unwritable if is_nowhere else self.left_out).add(edit.id, name, edit.account)

    def _columns(self, edit: Edit) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of a row by column, as the file has them, and those that it can't hold."""
        named = [(name, edit.values.get(name)) for name in self._names]
        if not self._is_whole:
            named = [one for one in named if one[1] not in ("", (), [])]
        named += [(EXPECT + name, edit.expect.get(name)) for name in self._expected]
        columns: dict[str, Any] = {}
        lost: dict[str, Any] = {}
        if not _reads_back(self._readings["id"], edit.id, edit.id):
            return columns, {"id": edit.id}
        for name, value in named:
            if value is None:
                continue
            held = self._as_held(edit.id, name, value)
            if held is None:
                lost[name] = value
            else:
                columns[name] = held
        return columns, lost

    def _as_held(self, task_id: str, name: str, value: Any) -> Any:
        """A value as the file has it; None if it would be read as another."""
        if self._format is Format.JSONL:
            return value if _is_accepted(task_id, name, value) else None
        return self._cell(name, value)

    def _table(self, held: Iterable[tuple[Edit, dict[str, Any]]]) -> Iterator[list[str]]:
        names = [*self._names, *(EXPECT + name for name in self._expected)]
        account, mark = ([ACCOUNT], [MARK]) if self._has_accounts else ([], [])
        yield ["id", *account, *names, *self._own, *mark]
        for edit, columns in held:
            of = [edit.account] if account else []
            notes = [edit.own.get(name.removeprefix(OWN_PREFIX), "") for name in self._own]
            cells = (columns.get(name, "") for name in names)
            yield [edit.id, *of, *cells, *map(_note, notes), *([""] if mark else [])]

    def _cell(self, name: str, value: Any) -> str | None:
        """A value as a cell; None for one that would be read as another."""
        text = value if isinstance(value, str) else json.dumps(value)
        text = text or CLEAR
        field = name.removeprefix(EXPECT)
        if field == "dueDate" and self._zone is not None:
            text = _in_zone(text, self._zone)
        is_held = self._is_safe(field, text) and _reads_back(self._readings[name], text, value)
        return text if is_held else None

    def _is_safe(self, field: str, text: str) -> bool:
        """Whether a spreadsheet keeps a text as it is, and runs nothing."""
        units = len(text.encode("utf-16-le", "surrogatepass")) // 2
        if is_formula(text) or "\r" in text or units > MAX_TEXT or text.startswith("'"):
            return False
        # In a workbook, a cell says itself that it is a text. A priority stays what it is.
        is_text = field in ("title", "message")
        return self._format is Format.XLSX or not is_text or not _is_converted(text)

    def _object(self, edit: Edit, columns: dict[str, Any]) -> dict[str, Any]:
        values = {name: columns[name] for name in self._names if name in columns}
        notes = {OWN_PREFIX + name: _note(text) for name, text in edit.own.items() if text}
        expect = {
            name: columns[EXPECT + name] for name in self._expected if EXPECT + name in columns
        }
        expected = {EXPECT.removesuffix("."): expect} if expect else {}
        account = {ACCOUNT: edit.account} if self._has_accounts else {}
        mark = {MARK_KEY: MARK_VALUE} if self._has_accounts else {}
        return {"id": edit.id, **account, **values, **expected, **notes, **mark}


def _is_converted(text: str) -> bool:
    """Whether a spreadsheet takes a text in a CSV file for something else, in some language."""
    if len(text) > _LONGEST:
        # The pattern takes too long for it. A long number has no letter either.
        return not any(map(str.isalpha, text))
    return _CONVERTED.fullmatch(text) is not None


def _note(text: str) -> str:
    """A text for people as a cell: on one line, and nothing that a spreadsheet runs."""
    shown = (c if c.isprintable() else " " for c in writable(text).replace(LOST, "?"))
    text = " ".join("".join(shown).split())
    return "" if is_formula(text) else text[:MAX_TEXT]


def _in_zone(text: str, zone: tzinfo) -> str:
    """A due date with the offset of a time zone; unchanged where it is none."""
    try:
        return datetime.fromisoformat(text).astimezone(zone).isoformat("T", "milliseconds")
    except ValueError:
        return text


def _reads_back(read: Reading, text: str, value: Any) -> bool:
    """Whether the reader takes a cell for this value, as it is sent."""
    try:
        return bool(read(text) == value)
    except ValueError:
        return False


def _is_accepted(task_id: str, name: str, value: Any) -> bool:
    """Whether the reader of JSON takes a value, as it is sent."""
    if name == "id" or (isinstance(value, str) and LOST in value):
        return False
    if name.startswith(EXPECT) and value == "":
        return True
    name = name.removeprefix(EXPECT)
    if name in IDS and missing(str(value), is_id=True):
        return False  # The reader of JSON refuses such a word, too.
    with contextlib.suppress(InvalidUpdateError):
        update = TaskUpdate(**{"id": task_id, PYTHON_NAMES[name]: value})
        return bool(update.changes() == {name: value})
    return False

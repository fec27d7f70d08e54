"""Write a file of edits that reads back as what was meant, also after a spreadsheet has saved it.

A blank cell leaves a field alone. So a value that a cell can't hold is left blank, and counted.
"""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from bulkupdate.codec import to_json, writable
from bulkupdate.errors import InputError, InvalidUpdateError
from bulkupdate.fields import IDS
from bulkupdate.models import PYTHON_NAMES, TaskUpdate
from bulkupdate.reader.book import MAX_TEXT
from bulkupdate.reader.cells import Reading, Values
from bulkupdate.reader.columns import OWN_PREFIX
from bulkupdate.reader.encoding import LOST
from bulkupdate.reader.input import Input
from bulkupdate.reader.options import Format, ReadOptions
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

#: A row: the id, the values as they are sent, by field, and the texts for the columns that the
#: reader ignores.
Edit = tuple[str, Mapping[str, Any], Mapping[str, str]]


@dataclass(slots=True)
class LeftOut:
    """The values that a file can't hold, by field.

    Attributes:
        counts: number of values, by field.
        named: the first of them, as `opp_… title`.
    """

    counts: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)

    def add(self, task_id: str, name: str) -> None:
        """Add a value."""
        self.counts[name] += 1
        if len(self.named) < SHOWN:
            self.named.append(f"{writable(task_id)} {name}")

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
        zone: the time zone in which due dates are written, with their offset; None for UTC.
        has_mark: whether a CSV file begins with a byte order mark.

    Attributes:
        left_out: the values that it could not write.
        rows: number of rows so far.
    """

    def __init__(
        self,
        format_: Format,
        names: tuple[str, ...],
        own: tuple[str, ...] = (),
        *,
        zone: tzinfo | None = None,
        has_mark: bool = True,
    ) -> None:
        self.left_out = LeftOut()
        self.rows = 0
        self._digest = blake2b()
        self._format = format_
        self._names = names
        self._zone = zone
        self._has_mark = has_mark
        self._own = tuple(OWN_PREFIX + name for name in own)
        values = Values(ReadOptions(), datetime.now(UTC))
        self._readings = {name: values.reading(name) for name in ("id", *names)}

    def write(self, to: IO[bytes], edits: Iterable[Edit]) -> None:
        """Write the file.

        Args:
            to: gets the bytes.
            edits: the rows. An empty value is left out.

        Raises:
            OSError: it can't be written.
        """
        if self._format is Format.JSONL:
            write_objects(to, (self._object(*one) for one in self._writable(edits)))
        else:
            write_table(to, self._format, "Edits", self._table(edits), has_mark=self._has_mark)

    def read_back(self, path: Path) -> None:
        """Check that a file reads back as what was written to it.

        Raises:
            InputError: it does not.
        """
        if not self.rows:
            return
        written, self._digest = self._digest, blake2b()
        options = ReadOptions(format=None if self._format is Format.XLSX else self._format)
        with Input.open(path, options=options) as source:
            for row in source.rows():
                if row.update is None:
                    raise InputError(f"row {row.number}: {row.error}")
                self._note_written(row.id, row.update.changes())
        if self._digest.digest() != written.digest():
            raise InputError("it holds other values")

    def _note_written(self, task_id: str, values: Mapping[str, Any]) -> None:
        self._digest.update(to_json([task_id, sorted(values.items())]))

    def _writable(self, edits: Iterable[Edit]) -> Iterator[Edit]:
        """The edits whose id can be written: without it, a row would be of no task."""
        for edit in edits:
            if _reads_back(self._readings["id"], edit[0], edit[0]):
                self.rows += 1
                yield edit
            else:
                self.left_out.add(edit[0], "id")

    def _table(self, edits: Iterable[Edit]) -> Iterator[list[str]]:
        yield ["id", *self._names, *self._own]
        for task_id, values, own in self._writable(edits):
            cells = [self._cell(task_id, name, values.get(name)) for name in self._names]
            kept = zip(self._names, cells, strict=True)
            self._note_written(task_id, {name: values[name] for name, cell in kept if cell})
            notes = [own.get(name.removeprefix(OWN_PREFIX), "") for name in self._own]
            yield [task_id, *cells, *map(_note, notes)]

    def _cell(self, task_id: str, name: str, value: Any) -> str:
        """A value as a cell; "" for one that is empty, or that would be read as another."""
        if value is None or value == "":
            return ""
        text = value if isinstance(value, str) else json.dumps(value)
        if name == "dueDate" and self._zone is not None:
            text = _in_zone(text, self._zone)
        if not self._is_safe(name, text) or not _reads_back(self._readings[name], text, value):
            self.left_out.add(task_id, name)
            return ""
        return text

    def _is_safe(self, name: str, text: str) -> bool:
        """Whether a spreadsheet keeps a text as it is, and runs nothing."""
        units = len(text.encode("utf-16-le", "surrogatepass")) // 2
        if is_formula(text) or "\r" in text or units > MAX_TEXT or text.startswith("'"):
            return False
        # In a workbook, a cell says itself that it is a text. A priority stays what it is.
        is_text = name in ("title", "message")
        return self._format is Format.XLSX or not is_text or not _is_converted(text)

    def _object(
        self, task_id: str, values: Mapping[str, Any], own: Mapping[str, str]
    ) -> dict[str, Any]:
        found = {}
        for name in self._names:
            value = values.get(name)
            if value is None or value in ("", (), []):
                continue
            if self._is_accepted(task_id, name, value):
                found[name] = value
            else:
                self.left_out.add(task_id, name)
        self._note_written(task_id, found)
        notes = {OWN_PREFIX + name: _note(text) for name, text in own.items() if text}
        return {"id": task_id, **found, **notes}

    def _is_accepted(self, task_id: str, name: str, value: Any) -> bool:
        """Whether the reader of JSON takes a value, as it is sent."""
        if isinstance(value, str) and LOST in value:
            return False
        if name in IDS and not _reads_back(self._readings[name], str(value), value):
            return False
        with contextlib.suppress(InvalidUpdateError):
            update = TaskUpdate(**{"id": task_id, PYTHON_NAMES[name]: value})
            return bool(update.changes() == {name: value})
        return False


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

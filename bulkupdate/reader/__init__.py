"""Read a file of edits as rows, one at a time. Each row is valid or carries its own problems.

::

    bytes ──▶ text ──▶ records ──▶ named values ──▶ rows
    raw       text     records     columns, cells   rows
    gzip, …   UTF-8,…  csv, sheet  dates, valuemap

Memory does not grow with the file: the length of a line and of a cell is bounded. The reader keeps
only the names of the columns and the value map. (The rows of a spreadsheet are on disk.)
"""

from bulkupdate.reader.book import file_lines, write_book
from bulkupdate.reader.columns import OWN_PREFIX
from bulkupdate.reader.dates import DAYS, Step, step
from bulkupdate.reader.edits import Edit, EditsFile, LeftOut
from bulkupdate.reader.info import InputInfo
from bulkupdate.reader.input import Input
from bulkupdate.reader.options import (
    CLEAR,
    ESCAPES,
    Escapes,
    Format,
    ReadOptions,
    is_rules,
    moment,
    unpacked_name,
    zone,
)
from bulkupdate.reader.output import RowFormat, is_formula, not_a_formula
from bulkupdate.reader.raw import RawFile
from bulkupdate.reader.rows import parse_object
from bulkupdate.reader.tables import format_to_write, write_objects, write_table

__all__ = [
    "CLEAR",
    "DAYS",
    "ESCAPES",
    "OWN_PREFIX",
    "Edit",
    "EditsFile",
    "Escapes",
    "Format",
    "Input",
    "InputInfo",
    "LeftOut",
    "RawFile",
    "ReadOptions",
    "RowFormat",
    "Step",
    "file_lines",
    "format_to_write",
    "is_formula",
    "is_rules",
    "moment",
    "not_a_formula",
    "parse_object",
    "step",
    "unpacked_name",
    "write_book",
    "write_objects",
    "write_table",
    "zone",
]

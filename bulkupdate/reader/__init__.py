"""A file of edits → rows, one at a time, each valid or carrying its own problems.

::

    bytes ──▶ text ──▶ records ──▶ named values ──▶ rows
    raw       text     records     columns, cells   rows
    gzip, …   UTF-8,…  csv, sheet  dates, valuemap

Memory does not grow with the file: a line and a cell are bounded, and nothing is kept
but the names of the columns, and what the value map says. (The rows of a spreadsheet are on disk.)
"""

from bulkupdate.reader.columns import OWN_PREFIX
from bulkupdate.reader.info import InputInfo
from bulkupdate.reader.input import Input
from bulkupdate.reader.options import CLEAR, Format, ReadOptions, moment, unpacked_name
from bulkupdate.reader.output import RowFormat, not_a_formula
from bulkupdate.reader.raw import RawFile
from bulkupdate.reader.rows import parse_object

__all__ = [
    "CLEAR",
    "OWN_PREFIX",
    "Format",
    "Input",
    "InputInfo",
    "RawFile",
    "ReadOptions",
    "RowFormat",
    "moment",
    "not_a_formula",
    "parse_object",
    "unpacked_name",
]

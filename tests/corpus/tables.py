"""Makes files of the corpus with programs that people write edits with, one file for each.

In an environment of its own, since the project needs none of them::

    python3 -m venv /tmp/programs
    /tmp/programs/bin/pip install polars duckdb pyarrow agate petl tablib sqlite-utils \
        frictionless pyexcel-ods3
    npm install --prefix /tmp/programs papaparse csv-stringify
    /tmp/programs/bin/python tests/corpus/tables.py

All write the same four edits, as each program writes them by itself. Beside a file stand the bodies
that it has to make.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

NAMES = ["id", "assignedTo", "dueDate", "title", "priority", "done"]
EDITS: list[dict[str, Any]] = [
    {
        "id": "opp_cc59f197f5832d74d",
        "assignedTo": "usr_7087fd30fef190087",
        "dueDate": "2026-12-01T09:00:00+01:00",
        "title": 'Call "Zoé", then\nwrite; 5" pipe',
        "priority": 2,
        "done": None,
    },
    {
        "id": "opp_13f6e732d8c5534bf",
        "assignedTo": None,
        "dueDate": None,
        "title": "  two blanks, and 👩‍👧 a\ttab  ",
        "priority": None,
        "done": True,
    },
    {
        "id": "opp_0e1e22bec60e6a5a3",
        "assignedTo": "usr_853669c78fa8e5faa",
        "dueDate": "2026-12-24T16:30:00.500Z",
        "title": "C:\\temp\\new, łódź",
        "priority": 0,
        "done": False,
    },
    {
        "id": "opp_4",
        "assignedTo": None,
        "dueDate": None,
        "title": "'quoted'",
        "priority": 1,
        "done": None,
    },
]

ROWS = [[edit[name] for name in NAMES] for edit in EDITS]
COLUMNS = {name: [edit[name] for edit in EDITS] for name in NAMES}


def polars() -> None:
    import polars as pl

    frame = pl.DataFrame(COLUMNS)
    frame.write_csv(HERE / "polars.csv")
    frame.write_ndjson(HERE / "polars.jsonl")


def duckdb() -> None:
    import duckdb as db

    connection = db.connect()
    connection.execute(
        "CREATE TABLE edits (id TEXT, assignedTo TEXT, dueDate TEXT, title TEXT, priority INT,"
        " done BOOLEAN)"
    )
    connection.executemany("INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?)", ROWS)
    connection.execute(f"COPY edits TO '{HERE / 'duckdb.csv'}'")
    connection.execute(f"COPY edits TO '{HERE / 'duckdb.tsv'}' (DELIMITER '\t')")
    connection.execute(f"COPY edits TO '{HERE / 'duckdb.jsonl'}' (FORMAT json)")


def pyarrow() -> None:
    import pyarrow as pa
    from pyarrow import csv

    csv.write_csv(pa.table(COLUMNS), HERE / "pyarrow.csv")


def agate() -> None:
    import agate as ag

    text, number, flag = ag.Text(), ag.Number(), ag.Boolean()
    ag.Table(ROWS, NAMES, [text, text, text, text, number, flag]).to_csv(str(HERE / "agate.csv"))


def petl() -> None:
    import petl as etl

    etl.tocsv([NAMES, *ROWS], str(HERE / "petl.csv"), encoding="utf-16")


def tablib() -> None:
    from tablib import Dataset

    data = Dataset(*ROWS, headers=NAMES)
    (HERE / "tablib.tsv").write_bytes(data.export("tsv").encode())


def sqlite_utils() -> None:
    rows = "".join(f"{json.dumps(edit)}\n" for edit in EDITS)
    command = [sys.executable, "-m", "sqlite_utils", "memory", "stdin:nl", "SELECT * FROM stdin"]
    for flag, name in (("--csv", "sqlite-utils.csv"), ("--nl", "sqlite-utils.jsonl")):
        done = subprocess.run(
            [*command, flag], input=rows.encode(), check=True, capture_output=True
        )
        (HERE / name).write_bytes(done.stdout)


def frictionless() -> None:
    from frictionless import Resource

    Resource([NAMES, *ROWS]).write(str(HERE / "frictionless.csv"))


def pyexcel_ods3() -> None:
    from pyexcel_ods3 import save_data

    blank = [["" if value is None else value for value in row] for row in ROWS]
    save_data(str(HERE / "pyexcel-ods3.ods"), {"Edits": [NAMES, *blank]})


def by_node(script: str) -> None:
    """Run a script of Node.js with the edits as `edits`, and a name of a file in `process.argv`."""
    whole = f"const edits = {json.dumps(EDITS)}; const names = {json.dumps(NAMES)}; {script}"
    subprocess.run(["node", "-e", whole], cwd=sys.prefix, check=True)


def papaparse() -> None:
    target = json.dumps(str(HERE / "papaparse.csv"))
    by_node(f"require('fs').writeFileSync({target}, require('papaparse').unparse(edits))")


def csv_stringify() -> None:
    target = json.dumps(str(HERE / "csv-stringify.csv"))
    by_node(
        "const {stringify} = require('csv-stringify/sync'); const options = {header: true,"
        " columns: names, bom: true, delimiter: ';', cast: {boolean: String}};"
        f"require('fs').writeFileSync({target}, stringify(edits, options))"
    )


PROGRAMS: tuple[Callable[[], None], ...] = (
    *(polars, duckdb, pyarrow, agate, petl, tablib, sqlite_utils, frictionless),
    *(pyexcel_ods3, papaparse, csv_stringify),
)

if __name__ == "__main__":
    for program in PROGRAMS:
        program()

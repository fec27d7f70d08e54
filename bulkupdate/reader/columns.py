"""Names of the columns of a file or of the keys of an object, and the fields they stand for."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from bulkupdate import fields
from bulkupdate.codec import writable
from bulkupdate.errors import ConfigError, setting
from bulkupdate.models import PYTHON_NAMES
from bulkupdate.reader.accounts import ACCOUNT, is_mark, marked
from bulkupdate.reader.options import ReadOptions

#: Prefix of the columns and keys that bulkupdate adds to `failed.csv`. The reader ignores them.
OWN_PREFIX = "bulkupdate_"

#: The column or key that names the rule that a row comes from. Nothing of it is sent.
RULE = f"{OWN_PREFIX}rule"

#: Prefix of the columns that hold what a task must be like for its row to be sent.
EXPECT = "expect."

#: Signs that may separate columns, also in files of unusual programs.
_SEPARATORS = re.compile(r"[,;\t|^~:/#&*]")
_COMMON = ",;\t|"


_JSONL_ONLY = frozenset({"images", "videos"})
_FIELDS = tuple(PYTHON_NAMES)

#: Number of problems of a header that a message lists.
_SHOWN = 20

#: Characters that a column name holds only where the reader split the header wrongly.
_FOREIGN = frozenset(",;\t|\"'" + fields.CURLY_QUOTES)

#: Common name of a field, without case, blanks and punctuation → the field.
_COMMON_NAMES = {
    **{re.sub(r"\W|_", "", name).lower(): name for name in PYTHON_NAMES},
    **{re.sub(r"\W|_", "", name).lower(): field for name, field in fields.ALIASES.items()},
    "taskid": "id",
    "assignee": "assignedTo",
    "due": "dueDate",
}

#: Names that other programs and people use, in the same form → the field that is probably meant.
#: That is a guess, so it is suggested, and never done.
_PROBABLE_NAMES = {
    name: field
    for field, names in {
        "assignedTo": "owner ownerid owneremail newowner user useremail assigned agent rep",
        "dueDate": "date deadline duetime duedatetime dueon dueat",
        "title": "name subject taskname tasktitle",
        "message": "body text note notes description comment comments",
        "priority": "prio importance urgency",
        "done": "completed complete finished isdone",
    }.items()
    for name in names.split()
}


#: The fields of which something can be expected: those that a live task shows.
EXPECTABLE = ("assignedTo", "dueDate", "title", "message", "priority", "done")


def is_expectation(name: str) -> bool:
    """Whether a column holds what a task must be like."""
    return name[: len(EXPECT)].lower() == EXPECT


class Column(NamedTuple):
    """A column that bulkupdate sends.

    Attributes:
        position: index of its cell in a record.
        field: the field that it stands for, by its name on the wire.
        name: its name, as written in the file.
    """

    position: int
    field: str
    name: str


class Layout(NamedTuple):
    """The meaning of a header.

    Attributes:
        header: the names, as written in the file.
        width: number of cells of a record, without nameless columns at the end.
        columns: the columns that bulkupdate sends.
        ignored: names of the columns that it ignores, without those that it added itself.
        kept: positions of all columns, without those that bulkupdate added, but for the rule.
        expected: the columns that hold what the task must be like.
        account: the column that names the account of a row; None without one.
        rule: position of the column that names the rule of a row; None without one.
    """

    header: tuple[str, ...]
    width: int
    columns: tuple[Column, ...]
    ignored: tuple[str, ...]
    kept: tuple[int, ...]
    expected: tuple[Column, ...] = ()
    rule: int | None = None
    account: Column | None = None

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that say what is sent, and with which account."""
        return self.columns if self.account is None else (self.account, *self.columns)

    @property
    def written(self) -> int:
        """Number of cells of the header, with nameless columns."""
        return len(self.header)


class Naming:
    """The field that a name stands for, by itself or by the user's mapping.

    Args:
        options: the user's options for the input.

    Attributes:
        has_accounts: whether rows are of accounts, so that `account` is a column or key.
        constants: field → the value of every row.
        expected: field → the value that every row expects.

    Raises:
        ConfigError: the options name an unknown field, or one field twice.
    """

    def __init__(self, options: ReadOptions) -> None:
        self._ignores_extra = options.ignore_extra
        self.has_accounts = options.accounts is not None
        self._is_of_one_account = options.account is not None
        self._mapping = {
            name.strip(): self._known_field(field, "mapping")
            for name, field in options.mapping.items()
        }
        self.constants: dict[str, str] = {}
        #: Field → the value that every row expects.
        self.expected: dict[str, str] = {}
        for name, text in options.constants.items():
            field = self._known_field(name, "constants")
            if field.startswith(EXPECT):
                self._expect(field, text)
                continue
            if field == "id":
                raise ConfigError(f"{setting('constants')} id: each row needs an id of its own")
            if field == ACCOUNT:
                raise ConfigError(
                    f"{setting('constants')} {ACCOUNT}: set {setting('account')} instead"
                )
            if field in self.constants:
                raise ConfigError(f"{setting('constants')} names {field!r} twice")
            if field in _JSONL_ONLY:
                raise ConfigError(
                    f"{setting('constants')} {field}: a list can only be given in JSONL"
                )
            self.constants[field] = text
        #: The names in `--only`, as the user wrote them, and the fields they stand for.
        self._only = {name.strip(): self.meant(name) for name in options.only}
        self._only_fields = set(self._only.values()) - {None}

    def _expect(self, field: str, text: str) -> None:
        if field in self.expected:
            raise ConfigError(f"{setting('constants')} names {field!r} twice")
        self.expected[field] = text

    def field(self, name: str) -> str | None:
        """The field that a column or key stands for; None if it matches no field.

        A column of expectations stands for `expect.` and its field.
        """
        name = name.strip()
        if mapped := self._mapped_name(name):
            return self._mapping[mapped]
        field = self._called(name)
        # A field that the user maps to another column belongs to that column alone.
        return None if field in self._mapping.values() else field

    def meant(self, name: str) -> str | None:
        """The field for a name in the options: the name of a column, or of the field itself."""
        return self.field(name) or self._called(name.strip())

    def _called(self, name: str) -> str | None:
        """The field that a name stands for by itself; None if it matches no field."""
        if self.has_accounts and _plain(name) == ACCOUNT:
            return ACCOUNT
        return _field_called(name)

    def _mapped_name(self, name: str) -> str | None:
        """The name of a column in the user's mapping; None where the mapping lacks it."""
        if name in self._mapping:
            return name
        plain = _plain(name)
        return next((other for other in self._mapping if plain and _plain(other) == plain), None)

    def is_ignored(self, name: str) -> bool:
        """Whether the reader ignores a column or key."""
        name = name.strip()
        if name.startswith(OWN_PREFIX):
            return True
        field = self.field(name)
        if is_expectation(name) or is_expectation(field or ""):
            # It protects a task, so that no option drops it.
            return False
        if self._only and field not in ("id", ACCOUNT):
            is_named = name in self._only
            if not is_named and field not in self._only_fields:
                return True
        return self._ignores_extra and (field is None or not name)

    def problem(self, kind: str, name: str) -> str | None:
        """The problem of a column or key name that the reader uses; None if it is right."""
        field = self.field(name)
        if field is None and is_expectation(name):
            known = ", ".join(EXPECTABLE)
            return f"{kind} {name!r} begins with {EXPECT} and names none of the fields {known}"
        if problem := self.expected_twice(kind, name, field):
            return problem
        if field == ACCOUNT and self._is_of_one_account:
            return (
                f"{kind} {name!r} and {setting('account')} both name the account of the rows: leave"
                " one out"
            )
        if field is None and (taken := self._called(name)) is not None:
            return (
                f"{kind} {name!r} is not sent: {setting('mapping')} gives {taken} to another"
                f" {kind}; remove it, or set {setting('ignore_extra')}"
            )
        if field is None:
            return _unknown(kind, name)
        if field in self.constants:
            return (
                f"{kind} {name!r} and {setting('constants')} {field} set the same field: remove"
                f" one ({setting('only')} names the columns to send)"
            )
        return None

    def expected_twice(self, kind: str, name: str, field: str | None) -> str | None:
        """The problem of an expectation that the user's options set too; None without one."""
        if field not in self.expected:
            return None
        return (
            f"{kind} {name!r} and {setting('constants')} {field} expect something of the same"
            " field: remove one"
        )

    def layout(self, header: tuple[str, ...]) -> tuple[Layout, list[str]]:
        """The meaning of a header, and all its problems."""
        names = [name.strip() for name in header]
        # A column with exactly the name in `--only` wins over other columns of the same field.
        exact = {self._only[name] for name in names if name in self._only}
        self._only_fields -= exact
        while names and not names[-1]:
            names.pop()
        columns: list[Column] = []
        expected: list[Column] = []
        accounts: list[Column] = []
        problems = self.marked(names)
        ignored = []
        for position, name in enumerate(names):
            if self.is_ignored(name):
                if name and not name.startswith(OWN_PREFIX):
                    ignored.append(name)
            elif not name:
                problems.append(
                    f"column {position + 1} has no name: name it, or ignore it with"
                    f" {setting('ignore_extra')}"
                )
            elif problem := self.problem("column", name):
                problems.append(problem)
            else:
                column = Column(position, self.field(name) or "", name)
                others = expected if is_expectation(column.field) else columns
                if column.field == ACCOUNT:
                    others = accounts
                problems += _clashes(others, column)
                others.append(column)
        if not any(column.field == "id" for column in columns):
            problems.append(
                "there is no column 'id', which names the task of each row; if it has another name,"
                f" set {setting('mapping')} 'NAME=id'; if there are lines above the header, remove"
                " them"
            )
        if not accounts and (problem := self.without_account("column")):
            problems.append(problem)
        problems += self.missing(names)
        if len(problems) > _SHOWN:
            problems[_SHOWN:] = [f"… and {len(problems) - _SHOWN:,} more problems of the header"]
        kept = tuple(
            n for n, name in enumerate(names) if not name.startswith(OWN_PREFIX) or name == RULE
        )
        layout = Layout(
            header,
            len(names),
            tuple(columns),
            tuple(ignored),
            kept,
            tuple(expected),
            names.index(RULE) if RULE in names else None,
            accounts[0] if accounts else None,
        )
        return layout, problems

    def marked(self, names: Iterable[str]) -> list[str]:
        """The problem of a file of several accounts, where none are given; empty without one."""
        return [] if self.has_accounts or not any(map(is_mark, names)) else [marked()]

    def without_account(self, kind: str) -> str | None:
        """The problem of a file that names no account of its rows; None without one."""
        if not self.has_accounts or self._is_of_one_account:
            return None
        return (
            f"there is no {kind} {ACCOUNT!r}, which names the account of each row; if it has"
            f" another name, set {setting('mapping')} 'NAME={ACCOUNT}'; if all rows are of one"
            f" account, set {setting('account')}"
        )

    def knows(self, header: Iterable[str]) -> int:
        """Number of these names that stand for a field."""
        return sum(self.field(name) is not None for name in header)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Problems of the options: one for each column in them that is not among these names."""
        present = {name.strip() for name in names}
        known = {self.field(name) for name in present}
        problems = [
            f"{setting('mapping')} {name!r}: there is no such column"
            + fields.suggestion(name, present)
            for name in self._mapping
            if name not in {self._mapped_name(other) for other in present}
        ]
        problems += [
            f"{setting('only')} {name!r}: there is no such column"
            + fields.suggestion(name, present)
            for name, field in self._only.items()
            if name not in present and (field is None or field not in known)
        ]
        return problems

    def _known_field(self, name: str, flag: str) -> str:
        field = self._called(name.strip())
        if field is None:
            near = fields.suggestion(name, PYTHON_NAMES) or f": the fields are {', '.join(_FIELDS)}"
            raise ConfigError(f"{setting(flag)}: {name!r} is not a field{near}")
        return field


def _field_called(name: str) -> str | None:
    """The field that a name stands for by itself; None if it matches no field."""
    # Quotes and delimiters in a name show that the reader split the header wrongly.
    if set(name) & _FOREIGN:
        return None
    if is_expectation(name):
        field = _field_called(name[len(EXPECT) :].strip())
        return EXPECT + field if field in EXPECTABLE else None
    return fields.ALIASES.get(name) or _COMMON_NAMES.get(_plain(name))


def rule_name(value: object) -> str | None:
    """The name of a rule, as a file has it; None where it is none."""
    return (writable(value).strip() or None) if isinstance(value, str) else None


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _clashes(columns: list[Column], column: Column) -> list[str]:
    """Problems of a column in addition to the columns before it."""
    if column.field in _JSONL_ONLY:
        return [f"column {column.name!r} can only be given in JSONL: it holds a list"]
    for other in columns:
        if other.name == column.name:
            return [f"column {column.name!r} appears twice: remove or rename one"]
        if other.field == column.field:
            return [
                f"columns {other.name!r} and {column.name!r} stand for the same field: keep one"
                f" ({setting('only')} names the columns to send)"
            ]
    return []


def begins_as_json(start: str) -> bool:
    """Whether a text begins as JSON does. The name of a column may stand in brackets."""
    return re.match(r"\s*(?:\{|\[\s*(?:[\[{\"\d-]|$))", start) is not None


def json_hint() -> str:
    """The advice for a file that holds JSON instead of a header."""
    return (
        "looks like JSON: put one object on each line, and name it .jsonl (or set"
        f" {setting('format')} jsonl): jq -c . does so, and for a list jq -c '.[]'"
    )


def format_hint(header: tuple[str, ...]) -> str:
    """The advice for a file whose first record is not a header; "" where it may be one."""
    first = header[0].strip() if header else ""
    if first.startswith("#TYPE "):
        return "begins with a line of PowerShell: let Export-Csv write it with -NoTypeInformation"
    return json_hint() if begins_as_json(first) else ""


def _unknown(kind: str, name: str) -> str:
    """The message for a column or key that matches no field."""
    if name in fields.READ_ONLY:
        return (
            f"{kind} {name!r} can't be changed through the API: remove it, or set"
            f" {setting('ignore_extra')}"
        )
    if {*name[:1], *name[-1:]} & set(fields.CURLY_QUOTES):
        return (
            f"{kind} {name!r} has typographic quotes, which are part of its name and of all cells:"
            ' replace them by straight ones (")'
        )
    parts = [part for part in _SEPARATORS.split(name) if part.strip()]
    if len(parts) > 1 and all(map(_field_called, map(str.strip, parts))):
        sign = _SEPARATORS.findall(name)[0]
        cure = f"set {setting('delimiter')} {sign!r}"
        if sign in _COMMON:
            # It would have been found, but in quotes, or below a line as `sep=,`.
            cure = (
                "each line of the file stands in quotes, as one cell: save the file again without"
                f" these quotes; or, if there are none, {cure}"
            )
        return f"{kind} {name!r} holds the names of several columns: {cure}"
    if _plain(name) == ACCOUNT:
        return (
            f"unknown {kind} {name!r}: if it names the account of each row, set"
            f" {setting('accounts')}; else {setting('ignore_extra')} ignores it"
        )
    # Other names can't be written into a command, or show that the header was split wrongly.
    if re.fullmatch(r"[\w .-]+", name) and (probable := _PROBABLE_NAMES.get(_plain(name))):
        return (
            f"unknown {kind} {fields.shorten(name)}: if it is the field {probable}, and no other"
            f" column is, set {setting('mapping')} {f'{name}={probable}'!r};"
            f" {setting('ignore_extra')} ignores it"
        )
    near = fields.suggestion(name, (*PYTHON_NAMES, *fields.ALIASES))
    if near:
        return f"unknown {kind} {fields.shorten(name)}{near}"
    return (
        f"unknown {kind} {fields.shorten(name)}: the fields are {', '.join(_FIELDS)};"
        f" {setting('mapping')} '{fields.shorten(name)[1:-1]}=FIELD' names the field it stands for,"
        f" {setting('ignore_extra')} ignores columns that match no field"
    )

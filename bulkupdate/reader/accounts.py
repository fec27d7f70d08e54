"""The account of a row: the column or key `account`, which is there only where accounts are given.

Names are exact. A file of failed rows, a plan and an undo of a run with accounts say so in the name
of a column, `bulkupdate_accounts=yes`, so that it is never sent with the one key of another run.
"""

from collections.abc import Iterable

from bulkupdate import fields
from bulkupdate.errors import setting

#: The column or key that names the account of a row.
ACCOUNT = "account"

#: What marks a file whose rows are of several accounts: in columns the name of one, and in JSONL a
#: key with its value.
MARK_KEY = "bulkupdate_accounts"
MARK_VALUE = "yes"
MARK = f"{MARK_KEY}={MARK_VALUE}"


def is_mark(name: str) -> bool:
    """Whether the name of a column, or a key, marks a file of several accounts."""
    return name.strip().partition("=")[0] == MARK_KEY


def marked() -> str:
    """The problem of such a file where no accounts are given."""
    return f"is of a run with accounts: set {setting('accounts')} to the file that names them"


def account_of(word: str, names: Iterable[str]) -> str:
    """The account that a word names.

    Args:
        word: the word, without blanks around it.
        names: the known accounts.

    Raises:
        ValueError: it is blank, or names none of them.
    """
    if not word:
        raise ValueError("is empty: enter the account of the task")
    if word not in names:
        near = fields.suggestion(word, names)
        raise fields.WrongValueError(f"is no account: {setting('accounts')} does not name it", near)
    return word

"""Texts that any file of edits may hold, for tests that make up their edits."""

from hypothesis import strategies as st

from bulkupdate.reader import artefacts

#: Any character that a text may hold.
CHARACTERS = st.characters(
    exclude_categories=["Cs", "Cc"], include_characters="\t\n\r", exclude_characters="\ufffd"
)


def is_value(cell: str) -> bool:
    """Whether a cell is a text that is its own value."""
    word = cell.strip()
    return bool(word) and word[0] not in "<#" and not artefacts.missing(word, is_id=False)

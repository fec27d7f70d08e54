"""Words about cells: their names, and what their number formats show."""

#: The end of a message about a number format.
CURE = ": format the column as text, and enter what it shows"


def shows_as(shown: str | None) -> str:
    """The beginning of a message about a number format."""
    return f"shows as {shown!r} by its number format"


def reference(row: int, column: int) -> str:
    """The name of a cell: `A1` for row 1 and column 1."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{row}"


def range_name(row: int, column: int, last_row: int, last_column: int) -> str:
    """The name of a rectangle of cells: `A1:B3`."""
    return f"{reference(row, column)}:{reference(last_row, last_column)}"

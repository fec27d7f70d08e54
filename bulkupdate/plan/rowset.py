"""A set of rows of an input."""


class RowSet:
    """A set of row numbers: one bit for each row of the input.

    Args:
        rows: number of rows in the input.
    """

    def __init__(self, rows: int) -> None:
        self._bits = bytearray(rows // 8 + 1)

    def add(self, row: int) -> None:
        """Add a row."""
        self._bits[row >> 3] |= 1 << (row & 7)

    def __contains__(self, row: int) -> bool:
        return bool(self._bits[row >> 3] & 1 << (row & 7))


#: Largest number of rows in one request. They stay in memory until its response.
MAX_MERGED = 100

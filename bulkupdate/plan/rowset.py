"""A set of rows of an input."""


class RowSet:
    """Numbers of rows, a bit for each row of the input.

    Args:
        rows: of the input.
    """

    def __init__(self, rows: int) -> None:
        self._bits = bytearray(rows // 8 + 1)

    def add(self, row: int) -> None:
        """Put a row in."""
        self._bits[row >> 3] |= 1 << (row & 7)

    def __contains__(self, row: int) -> bool:
        return bool(self._bits[row >> 3] & 1 << (row & 7))


#: Rows that go in one request at most: they stand in memory while it is out.
MAX_MERGED = 100

"""Lines of text in columns."""

from collections.abc import Collection, Iterator, Sequence


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()
) -> Iterator[str]:
    """Lines of text in columns, below a header.

    Args:
        header: the names of the columns.
        rows: the cells of each line.
        right: the indexes of the columns that stand to the right, from 0.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()

"""XML as events. Names hold their namespace, in the form `namespace name`."""

from collections.abc import Callable
from typing import IO
from xml.parsers import expat

from .rows import WorkbookError

#: Bytes to parse at once, and most bytes of one tag. The parser looks at an unfinished tag again
#: with each piece, so a long one takes very long.
_CHUNK = 1 << 17
_LONGEST_TAG = 1 << 20

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]
Text = Callable[[str], object]


def parse(source: IO[bytes], start: Start, end: End, text: Text) -> None:
    """Parse XML in pieces.

    Args:
        source: the XML.
        start: takes the name and the attributes of an element that begins.
        end: takes the name of an element that ends.
        text: takes a piece of text.

    Raises:
        WorkbookError: it has a document type or a very long tag, which only bombs have.
        expat.ExpatError: it is not XML.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.buffer_size = _CHUNK
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _no_doctype
    parsed = 0
    while chunk := source.read(_CHUNK):
        parser.Parse(chunk)
        parsed += len(chunk)
        if parsed - parser.CurrentByteIndex > _LONGEST_TAG:
            raise WorkbookError("holds a tag of very many characters: save it as CSV")
    parser.Parse(b"", True)


def elements(source: IO[bytes], found: Start) -> None:
    """Parse XML of which only names and attributes matter."""
    parse(source, found, _ignore, _ignore)


def local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition(" ")[2]


def _ignore(_: str) -> None:
    return


def _no_doctype(*_: object) -> None:
    raise WorkbookError("holds a document type, which no spreadsheet program writes")

"""The pages of the docs, and their code blocks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(r'```(\w*)(?: title="([^"]+)")?')


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        kind: the word after the fence.
        title: the name of the file, if the block is a whole file; else "".
        text: the content.
    """

    kind: str
    title: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    opening: re.Match[str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if opening is None:
            if line.startswith("```"):
                opening, lines = _FENCE.fullmatch(line), []
                assert opening, f"{page}:{number}: {line}"
        elif line == "```":
            yield Block(opening[1], opening[2] or "", "".join(f"{line}\n" for line in lines))
            opening = None
        else:
            lines.append(line)
    assert opening is None, f"{page}: a block is not closed"


def files_of(page: Path) -> dict[str, str]:
    """The whole files on a page, by name."""
    return {block.title: block.text for block in blocks(page) if block.title}

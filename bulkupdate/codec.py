"""Records to JSON, and back."""

import functools
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder()


def replaced(record: Kind, **changes: Any) -> Kind:
    """A copy of a record with some of its attributes changed."""
    return msgspec.structs.replace(record, **changes)


def to_json(record: object, *, indent: int = 0) -> bytes:
    """`record` as JSON: on one line, or over several with `indent` blanks a level."""
    encoded = msgspec.json.encode(record)
    return msgspec.json.format(encoded, indent=indent) if indent else encoded


def to_lines(records: Iterable[object]) -> bytes:
    """`records` as JSON, each on a line."""
    return _encoder.encode_lines(records)


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def parse_record(data: bytes, kind: type[Kind]) -> Kind:
    """The record of type `kind` that a JSON text holds. Unknown keys are passed over.

    Raises:
        ValueError: it is not JSON, or not such a record.
    """
    try:
        record: Kind = _decoder(kind).decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return record


def parse_lines(data: bytes | memoryview, kind: type[Kind]) -> list[Kind]:
    """The records of type `kind` on the lines of a text, all at once.

    Raises:
        ValueError: a line is not JSON, or not such a record.
    """
    try:
        records: list[Kind] = _decoder(kind).decode_lines(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return records


def writable(text: str) -> str:
    """`text` with what UTF-8 can't hold (half of a character) spelt out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


@functools.cache
def _decoder(kind: type[Kind]) -> msgspec.json.Decoder[Kind]:
    return msgspec.json.Decoder(kind)

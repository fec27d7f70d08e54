"""Conversion of records to JSON, and of JSON to records."""

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
    """`record` as JSON: on one line, or on several lines.

    Args:
        record: the record.
        indent: spaces for each level; 0 puts everything on one line.
    """
    encoded = msgspec.json.encode(record)
    return msgspec.json.format(encoded, indent=indent) if indent else encoded


def to_lines(records: Iterable[object]) -> bytes:
    """`records` as JSON, one per line."""
    return _encoder.encode_lines(records)


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: the text is not JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def parse_record(data: bytes, kind: type[Kind]) -> Kind:
    """The record of type `kind` in a JSON text. Unknown keys are ignored.

    Raises:
        ValueError: the text is not JSON, or not such a record.
    """
    try:
        record: Kind = _decoder(kind).decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return record


def parse_lines(data: bytes | memoryview, kind: type[Kind]) -> list[Kind]:
    """The records of type `kind` in a text with one record per line.

    Raises:
        ValueError: a line is not JSON, or not such a record.
    """
    try:
        records: list[Kind] = _decoder(kind).decode_lines(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return records


def writable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 can't encode, written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


@functools.cache
def _decoder(kind: type[Kind]) -> msgspec.json.Decoder[Kind]:
    return msgspec.json.Decoder(kind)

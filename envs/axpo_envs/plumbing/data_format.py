"""Defines how immutable data is written as bytes that are read without executing anything: `write_data`, `read_data`.

What is written is JSON, followed by the images (as PNG) and bytes that it refers to by number:

| value | JSON |
|---|---|
| None, bool, text, an integer, a finite float | itself |
| tuple | array |
| anything else | an object of one member, which names the kind: see `_data_writing` and `_data_reading` |

A frozen dataclass, a NamedTuple or an enum is written as its name and its fields. Read, it is looked up in the modules
that the program has imported: the types of episodes are made by their constructors, their fields checked; of any other
the fields are put in place, and nothing of the class is called. A value of another type is written as a pickle, and
pickles execute what their writer pleases: they are read only where the caller says that the writer is trusted.
"""

from __future__ import annotations

import json
from typing import Any, Final

from axpo_envs.plumbing._data_parts import DataFormatError
from axpo_envs.plumbing._data_reading import DataReader
from axpo_envs.plumbing._data_writing import DataWriter

__all__ = ["DataFormatError", "read_data", "write_data"]

_LENGTH: Final = 8


def write_data(value: Any) -> bytes:
    """The value as bytes, from which `read_data` makes an equal one.

    Raises:
        DataFormatError: it is nested too deeply, or a part can neither be written as data nor be pickled.
    """
    writer = DataWriter()
    try:
        text = json.dumps(writer.write(value), ensure_ascii=True, separators=(",", ":")).encode("ascii")
    except RecursionError:
        raise DataFormatError("the value is nested too deeply to be written") from None
    lengths = b"".join(len(blob).to_bytes(_LENGTH, "big") for blob in writer.blobs)
    head = len(text).to_bytes(_LENGTH, "big") + len(writer.blobs).to_bytes(_LENGTH, "big")
    return b"".join((head, lengths, text, *writer.blobs))


def read_data(data: bytes, *, trusted: bool = False) -> Any:
    """The value that `write_data` wrote.

    Args:
        data: the bytes.
        trusted: whoever wrote them may have anything executed: pickles within are read, and modules of the types
            within are imported.

    Raises:
        DataFormatError: they are damaged, or hold what only trusted bytes may.
    """
    try:
        text, blobs = _parts(data)
        return DataReader(blobs, trusted=trusted).read(json.loads(text))
    except DataFormatError:
        raise
    except RecursionError:
        raise DataFormatError("the value is nested too deeply to be read") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise DataFormatError(f"what was written is no such value ({type(error).__name__}: {error})") from error


def _parts(data: bytes) -> tuple[bytes, list[bytes]]:
    length, count = (int.from_bytes(data[place : place + _LENGTH], "big") for place in (0, _LENGTH))
    start = (2 + count) * _LENGTH
    if count > len(data) or start + length > len(data):
        raise DataFormatError("the bytes end early")
    places = range(2 * _LENGTH, start, _LENGTH)
    lengths = [int.from_bytes(data[place : place + _LENGTH], "big") for place in places]
    if start + length + sum(lengths) != len(data):
        raise DataFormatError("the bytes are not as many as they say")
    blobs, at = [], start + length
    for size in lengths:
        blobs.append(data[at : at + size])
        at += size
    return data[start : start + length], blobs

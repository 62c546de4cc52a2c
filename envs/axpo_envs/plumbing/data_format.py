"""Defines how immutable data is written as bytes that are read without executing anything: `write_data`, `read_data`.

What is written is JSON, followed by the images (as PNG) and bytes that it refers to by number:

| value | JSON |
|---|---|
| None, bool, text, an integer, a finite float | itself |
| tuple | array |
| anything else | an object of one member, which names the kind: see `_WRITERS` and `_READERS` |

A frozen dataclass, a NamedTuple or an enum is written as its name and its fields. Read, it is looked up in the modules
that the program has imported: the types of episodes are made by their constructors, their fields checked; of any other
the fields are put in place, and nothing of the class is called. A value of another type is written as a pickle, and
pickles execute what their writer pleases: they are read only where the caller says that the writer is trusted.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import importlib
import json
import math
import operator
import pathlib
import pickle
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from axpo_envs.images import ImageRef
from axpo_envs.plumbing._data_classes import check_fields, field_names, is_data_class, name_of
from axpo_envs.plumbing.columns import Columns
from axpo_envs.plumbing.surrogates import has_surrogates

Json: TypeAlias = Any

_LENGTH: Final = 8
_NUMBERS: Final = "biufc"
"""Kinds of numpy's scalars: truth values, integers, floats and complex numbers."""
_MAX_INTEGER: Final = 2**63
# The modules whose types episodes, rollouts and groups are made of.
_OWN: Final = (
    *("axpo_envs.types", "axpo_envs.snapshot", "axpo_envs.backends.python_sandbox.state"),
    *("axpo_envs.backends.sql.state", "axpo_envs.backends.commands.trees", "axpo_envs.tools.shell"),
    *(
        "axpo_envs.backends.payments.ledger",
        "axpo_envs.backends.spreadsheets.content",
        "axpo_envs.backends.tickets.store",
    ),
    "axpo_envs.backends.browser.state",
    *("axpo_agents.types", "axpo.algorithm.types", "axpo.algorithm.buffer"),
)


class DataFormatError(ValueError):
    """Bytes are none that `write_data` wrote, or hold what may not be read."""


def write_data(value: Any) -> bytes:
    """The value as bytes, from which `read_data` makes an equal one.

    Raises:
        DataFormatError: it is nested too deeply, or a part can neither be written as data nor be pickled.
    """
    writer = _Writer()
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
        return _Reader(blobs, trusted=trusted).read(json.loads(text))
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


class _Writer:
    """Writes one value; an image that occurs again is written once."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self._images: dict[ImageRef, int] = {}

    def write(self, value: Any) -> Json:
        kind: Any = type(value)
        # JSON joins the halves of a surrogate pair that stand side by side.
        plain = kind in (type(None), bool) or (kind is str and not has_surrogates(value))
        if plain or (kind is int and abs(value) < _MAX_INTEGER) or (kind is float and math.isfinite(value)):
            return value
        if kind is tuple:
            return [self.write(part) for part in value]
        if write := _WRITERS.get(kind):
            return write(self, value)
        if is_data_class(kind):
            fields = {name: self.write(getattr(value, name)) for name in field_names(kind)}
            return {"object": [name_of(kind), fields]}
        return self._enum_or_number(kind, value)

    def _enum_or_number(self, kind: Any, value: Any) -> Json:
        if isinstance(value, np.generic) and value.dtype.kind in _NUMBERS and type(value) is value.dtype.type:
            return {"numpy": [value.dtype.name, self.blob(value.tobytes())]}
        if isinstance(value, enum.Enum) and name_of(kind) and value.name in kind.__members__:
            return {"enum": [name_of(kind), value.name]}
        return self._pickled(value)

    def _pickled(self, value: Any) -> Json:
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        try:
            return {"pickle": [name, self.blob(pickle.dumps(value, protocol=5))]}
        except Exception as error:
            raise DataFormatError(f"a {name} can neither be written as data nor be pickled: {error}") from error

    def blob(self, data: bytes) -> int:
        self.blobs.append(data)
        return len(self.blobs) - 1

    def date(self, value: Any) -> Json:
        # A zone with rules is more than its offset.
        if type(getattr(value, "tzinfo", None)) not in (type(None), datetime.timezone):
            return self._pickled(value)
        return {type(value).__name__: value.isoformat()}

    def image(self, image: ImageRef) -> Json:
        if image not in self._images:
            self._images[image] = self.blob(image.to_png())
        return {"image": self._images[image]}


_WRITERS: Final[Mapping[type, Callable[[_Writer, Any], Json]]] = {
    int: lambda _, value: {"int": hex(value)},
    float: lambda _, value: {"float": repr(value)},
    str: lambda writer, value: {"text": writer.blob(value.encode("utf-8", "surrogatepass"))},
    complex: lambda writer, value: {"complex": [writer.write(value.real), writer.write(value.imag)]},
    bytes: lambda writer, value: {"bytes": writer.blob(value)},
    frozenset: lambda writer, value: {"frozenset": [writer.write(part) for part in sorted(value, key=repr)]},
    range: lambda writer, value: {"range": [writer.write(part) for part in (value.start, value.stop, value.step)]},
    Columns: lambda writer, value: {
        "columns": [[writer.write(name), writer.write(part)] for name, part in value.items()]
    },
    ImageRef: lambda writer, value: writer.image(value),
    datetime.timedelta: lambda _, value: {"timedelta": [value.days, value.seconds, value.microseconds]},
    fractions.Fraction: lambda writer, value: {"fraction": [writer.write(part) for part in value.as_integer_ratio()]},
    decimal.Decimal: lambda _, value: {"decimal": str(value)},
    uuid.UUID: lambda _, value: {"uuid": str(value)},
    pathlib.PurePosixPath: lambda _, value: {"path": str(value)},
    datetime.date: lambda writer, value: writer.date(value),
    datetime.time: lambda writer, value: writer.date(value),
    datetime.datetime: lambda writer, value: writer.date(value),
}


class _Reader:
    """Reads one value; an image that occurs again is one object."""

    def __init__(self, blobs: list[bytes], *, trusted: bool) -> None:
        self._blobs = blobs
        self._images: dict[int, ImageRef] = {}
        self.trusted = trusted

    def read(self, written: Json) -> Any:
        if isinstance(written, list):
            return tuple(self.read(part) for part in written)
        if not isinstance(written, dict):
            return written
        ((kind, content),) = written.items()
        read = _READERS.get(kind)
        if read is None:
            raise DataFormatError(f"there is no kind of value {kind!r}: was it written by a later version?")
        return read(self, content)

    def blob(self, number: int) -> bytes:
        if not 0 <= number < len(self._blobs):
            raise DataFormatError(f"there is no block {number}")
        return self._blobs[number]

    def image(self, number: int) -> ImageRef:
        if number not in self._images:
            self._images[number] = ImageRef.from_bytes(self.blob(number))
        return self._images[number]

    def object(self, content: tuple[str, Mapping[str, Json]]) -> Any:
        name, written = content
        kind = self._class(name)
        if not is_data_class(kind):
            raise DataFormatError(f"{name} is no frozen dataclass and no NamedTuple")
        fields = {field: self.read(part) for field, part in written.items()}
        if name.partition(":")[0] in _OWN:
            # Fields that are younger than the bytes have their defaults.
            check_fields(kind, fields)
            return kind(**fields)
        if set(fields) != set(field_names(kind)):
            raise DataFormatError(f"{name} has the fields {', '.join(field_names(kind))}; got {', '.join(fields)}")
        if issubclass(kind, tuple):
            return tuple.__new__(kind, [fields[field] for field in field_names(kind)])
        made = object.__new__(kind)
        for field, value in fields.items():
            object.__setattr__(made, field, value)
        return made

    def number(self, content: tuple[str, int]) -> np.generic:
        name, block = content
        kind = np.dtype(name)
        if kind.kind not in _NUMBERS:
            raise DataFormatError(f"{name} is no kind of number")
        (value,) = np.frombuffer(self.blob(block), kind)
        number: np.generic = value
        return number

    def member(self, content: tuple[str, str]) -> Any:
        name, member = content
        kind = self._class(name)
        if not (isinstance(kind, enum.EnumMeta) and member in kind.__members__):
            raise DataFormatError(f"{name} has no member {member!r}")
        return kind.__members__[member]

    def unpickled(self, content: tuple[str, int]) -> Any:
        name, number = content
        if not self.trusted:
            raise DataFormatError(
                f"they hold a {name} as a pickle, which executes what its writer pleases: read them with a key, or "
                "with trust=True if nobody but you can have written them"
            )
        try:
            return pickle.loads(self.blob(number))
        except Exception as error:
            raise DataFormatError(f"the pickled {name} cannot be read ({type(error).__name__}: {error})") from error

    def _class(self, name: str) -> Any:
        module, _, qualified = name.partition(":")
        if module not in sys.modules and (self.trusted or module in _OWN):
            importlib.import_module(module)
        if module not in sys.modules:
            raise DataFormatError(f"they hold a {qualified} of the module {module}: import it before reading them")
        return operator.attrgetter(qualified)(sys.modules[module])


_READERS: Final[Mapping[str, Callable[[_Reader, Any], Any]]] = {
    "int": lambda _, content: int(content, 16),
    "float": lambda _, content: float(content),
    "text": lambda reader, content: reader.blob(content).decode("utf-8", "surrogatepass"),
    "complex": lambda reader, content: complex(*map(reader.read, content)),
    "bytes": lambda reader, content: reader.blob(content),
    "frozenset": lambda reader, content: frozenset(map(reader.read, content)),
    "range": lambda reader, content: range(*map(reader.read, content)),
    "columns": lambda reader, content: Columns((reader.read(name), reader.read(part)) for name, part in content),
    "image": lambda reader, content: reader.image(content),
    "timedelta": lambda _, content: datetime.timedelta(*content),
    "object": lambda reader, content: reader.object(content),
    "enum": lambda reader, content: reader.member(content),
    "pickle": lambda reader, content: reader.unpickled(content),
    "fraction": lambda reader, content: fractions.Fraction(*map(reader.read, content)),
    "numpy": lambda reader, content: reader.number(content),
    "decimal": lambda _, content: decimal.Decimal(content),
    "uuid": lambda _, content: uuid.UUID(content),
    "path": lambda _, content: pathlib.PurePosixPath(content),
    "date": lambda _, content: datetime.date.fromisoformat(content),
    "time": lambda _, content: datetime.time.fromisoformat(content),
    "datetime": lambda _, content: datetime.datetime.fromisoformat(content),
}

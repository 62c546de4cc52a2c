"""Defines `DataWriter`, which writes a value as JSON and blocks of bytes: see `data_format`."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import math
import pathlib
import pickle
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from axpo_envs.images import ImageRef
from axpo_envs.plumbing._data_classes import field_names, is_data_class, name_of
from axpo_envs.plumbing._data_parts import NUMBERS, DataFormatError, Json
from axpo_envs.plumbing.columns import Columns
from axpo_envs.plumbing.surrogates import has_surrogates

_MAX_INTEGER: Final = 2**63


class DataWriter:
    """Writes one value; an image that occurs again is written once."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self._images: dict[ImageRef, int] = {}

    def write(self, value: Any) -> Json:
        """The value as JSON; what that holds no place for goes to the blobs.

        Raises:
            DataFormatError: a part can neither be written as data nor be pickled.
        """
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
        if isinstance(value, np.generic) and value.dtype.kind in NUMBERS and type(value) is value.dtype.type:
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
        """Adds a block; returns its number."""
        self.blobs.append(data)
        return len(self.blobs) - 1

    def date(self, value: Any) -> Json:
        """A date, a time or both."""
        # A zone with rules is more than its offset.
        if type(getattr(value, "tzinfo", None)) not in (type(None), datetime.timezone):
            return self._pickled(value)
        return {type(value).__name__: value.isoformat()}

    def image(self, image: ImageRef) -> Json:
        """An image, by the number of its block."""
        if image not in self._images:
            self._images[image] = self.blob(image.to_png())
        return {"image": self._images[image]}


_WRITERS: Final[Mapping[type, Callable[[DataWriter, Any], Json]]] = {
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

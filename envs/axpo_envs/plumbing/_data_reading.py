"""Defines `DataReader`, which reads what a `DataWriter` wrote: see `data_format`."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import importlib
import operator
import pathlib
import pickle
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from axpo_envs.images import ImageRef
from axpo_envs.plumbing._data_classes import check_fields, field_names, is_data_class
from axpo_envs.plumbing._data_parts import NUMBERS, DataFormatError, Json
from axpo_envs.plumbing.columns import Columns

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


class DataReader:
    """Reads one value; an image that occurs again is one object."""

    def __init__(self, blobs: list[bytes], *, trusted: bool) -> None:
        self._blobs = blobs
        self._images: dict[int, ImageRef] = {}
        self.trusted = trusted

    def read(self, written: Json) -> Any:
        """The value that was written as this JSON.

        Raises:
            DataFormatError: it is none, or holds what only trusted bytes may.
        """
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
        if kind.kind not in NUMBERS:
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


_READERS: Final[Mapping[str, Callable[[DataReader, Any], Any]]] = {
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

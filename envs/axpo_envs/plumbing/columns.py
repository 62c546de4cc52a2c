"""Defines `Columns`, an immutable mapping of a row's further columns, and `freeze`, which makes values immutable."""

from __future__ import annotations

import datetime
import decimal
import fractions
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from axpo_envs.images import ImageRef

_PLAIN: Final = (
    *(str, bytes, bool, int, float, type(None), ImageRef),
    *(datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, fractions.Fraction),
)


class UnfrozenError(TypeError):
    """A value has no immutable form."""


class Columns(Mapping[str, Any]):
    """Names and immutable values. It is hashable, pickles, and equals any mapping of the same items.

    Args:
        items: pairs of name and value; values are made immutable by `freeze`.

    Raises:
        UnfrozenError: a value has no immutable form.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, Any]] = ()) -> None:
        self._items = {name: freeze(value) for name, value in items}

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"Columns({tuple(self._items.items())!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Columns, (tuple(self._items.items()),)


def freeze(value: Any) -> Any:
    """An immutable form of a value: lists become tuples, mappings `Columns`, NumPy scalars plain ones.

    Raises:
        UnfrozenError: there is none, as for arrays and open files.
    """
    if isinstance(value, (*_PLAIN, Columns)):
        return value
    if isinstance(value, Mapping):
        return Columns((str(name), part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return tuple(freeze(part) for part in value)
    if isinstance(value, set | frozenset):
        return frozenset(freeze(part) for part in value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return freeze(value.item())
    raise UnfrozenError(f"expected text, numbers, dates, lists and mappings; got a {type(value).__name__}")

"""Defines `check_positive`, which holds every field of a set of limits above zero."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from axpo_envs.errors import EnvConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check_positive(limits: DataclassInstance) -> None:
    """Holds each field of a dataclass of numbers to a finite one above 0; fields declared `int` to whole ones.

    Raises:
        EnvConfigError: a value is none.
    """
    for field in dataclasses.fields(limits):
        value = getattr(limits, field.name)
        whole = field.type in (int, "int")
        is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < math.inf:
            expected = "an integer" if whole else "a number"
            raise EnvConfigError(f"{type(limits).__name__}.{field.name}: expected {expected} above 0; got {value!r}")

"""Defines what the data format is written and read by: its numbers, and the error of bytes that are none of it."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Json: TypeAlias = Any
NUMBERS: Final = "biufc"
"""Kinds of numpy's scalars: truth values, integers, floats and complex numbers."""


class DataFormatError(ValueError):
    """Bytes are none that `write_data` wrote, or hold what may not be read."""

"""Defines the ranges that settings of every kind are held to."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

Count: TypeAlias = Annotated[int, Field(ge=1)]
"""At least one."""
CountOrNone: TypeAlias = Annotated[int, Field(ge=0)]
"""At least zero; zero switches something off."""
Several: TypeAlias = Annotated[int, Field(ge=2)]
"""At least two: fewer have no spread to be compared by."""
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above zero."""
NonNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number, zero or above."""
Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number."""
Decay: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
"""A moving average's weight of the past: at least 0, below 1."""
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=1e9)]
"""A time limit: above zero, and no longer than clocks of operating systems count (a billion is 31 years)."""
Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
"""Between 0 and 1, both excluded."""
Nucleus: TypeAlias = Annotated[float, Field(gt=0, le=1)]
"""Above 0, at most 1."""
Probability: TypeAlias = Annotated[float, Field(ge=0, le=1)]
"""Between 0 and 1, both included."""
Name: TypeAlias = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""

"""Defines `EnvSettings`, which environment a configuration of any kind names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvSettings:
    """An environment by its name, and how it is made."""

    env: Annotated[str, Field(min_length=1)] = "axpo/VisualZoom-v0"
    """Gymnasium id of the environment (`module:id` or `folder/module.py:id` imports the module first)."""
    env_args: tuple[str, ...] = ()
    """Keyword arguments of the environment as NAME=VALUE, VALUE in JSON (or a bare word)."""

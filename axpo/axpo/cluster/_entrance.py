"""Defines `Entrance`: how processes reach a cluster that another one of the run has started, or has reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """How a cluster is reached."""

    address: str
    """Its address, as settings name it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that a process must have before it imports Ray."""

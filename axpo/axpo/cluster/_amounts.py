"""Defines `amounts`: the resources of a worker that settings name."""

from __future__ import annotations

from axpo.settings._ray import WorkersConfig
from axpo.settings.config import ConfigError


def amounts(kind: str, wanted: WorkersConfig) -> dict[str, float]:
    """Resources by name. Worked value: `("browsers=1",)` gives `{"browsers": 1.0}`.

    Args:
        kind: what messages call the workers: `rollouts` or `environments`.
        wanted: their settings.

    Raises:
        ConfigError: one is not NAME=AMOUNT, or is named twice.
    """
    found: dict[str, float] = {}
    for one in wanted.resources:
        name, _, text = one.partition("=")
        try:
            amount = float(text)
        except ValueError:
            amount = 0.0
        if not name or not amount > 0 or name in found:
            raise ConfigError(
                f"ray.{kind}.resources: expected NAME=AMOUNT, every name once and the amount above 0; got {one!r}"
            )
        found[name] = amount
    return found

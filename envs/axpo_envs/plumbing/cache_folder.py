"""Defines `cache_folder`: where what can be computed again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """`axpo/NAME` within `$XDG_CACHE_HOME`, or within `~/.cache`; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "axpo" / name

"""Defines `write_whole`: a file that appears whole or not at all, whatever kills the process."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

PARTIAL: Final = ".partial-"
"""How the name of an unfinished file begins; what still bears it later was left by a killed process."""


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that is either the old one or the new one, durably.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise

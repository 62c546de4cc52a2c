"""Defines `in_vector_worker`, which tells whether this process is one that Gymnasium's `AsyncVectorEnv` runs."""

from __future__ import annotations

import multiprocessing
import re
from typing import Final

_NAME: Final = re.compile(r"Worker<\w+>-\d+")


def in_vector_worker() -> bool:
    """Whether an exception of the environment would end this process, and with it every further step of the vector."""
    # Gymnasium tells environments nothing of where they run; its processes have had this name from the beginning.
    return _NAME.fullmatch(multiprocessing.current_process().name) is not None

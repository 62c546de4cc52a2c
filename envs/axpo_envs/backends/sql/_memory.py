"""Defines `limited_memory`, within which a process may take so much more memory and no more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def limited_memory(size: int) -> Iterator[None]:
    """Limits this process for a while: one of a single thread, since others would find no memory either.

    It is kept on Linux alone.

    Args:
        size: bytes of address space beyond those that the process has.

    Raises:
        MemoryError: within, where more is asked for.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + size
    for bound in (soft, hard):
        most = most if bound == resource.RLIM_INFINITY else min(most, bound)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

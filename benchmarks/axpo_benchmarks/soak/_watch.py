"""Defines `Usage`, what a process and its children hold of the machine, and `own_temporary_folder`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What is held at a moment."""

    memory_mb: float
    """Resident memory of this process, in MiB."""
    children_mb: float
    """That of its descendants together, pages that they share counted in each."""
    descriptors: int
    """Its open file descriptors."""
    threads: int
    """Its threads."""
    processes: int
    """Its descendants."""
    temporary: int
    """Entries in the folder of temporary files."""
    shared: int
    """Entries in /dev/shm."""

    @classmethod
    def now(cls) -> Usage:
        """What is held now."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        children = _descendants(os.getpid())
        return cls(
            memory_mb=_resident_mb("self"),
            children_mb=sum(_resident_mb(str(child)) for child in children),
            descriptors=_entries("/proc/self/fd"),
            threads=int(status["Threads"]),
            processes=len(children),
            temporary=_entries(tempfile.gettempdir()),
            shared=_entries("/dev/shm"),
        )


@contextmanager
def own_temporary_folder() -> Iterator[None]:
    """Temporary files of this process and its children lie in a folder that other processes do not write to."""
    outer, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="axpo-soak-") as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            tempfile.tempdir = outer
            if variable is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = variable


def _entries(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def _resident_mb(process: str) -> float:
    """In MiB; 0 for a process that has ended meanwhile."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def _descendants(pid: int) -> list[int]:
    """Children of a process, and theirs; of processes that end meanwhile whatever was still to be seen."""
    found = []
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    for thread in threads:
        try:
            children = [int(child) for child in (thread / "children").read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found

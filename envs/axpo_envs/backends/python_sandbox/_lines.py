"""Defines scratch folders on disk, for interpreters that have no root of their own."""

from __future__ import annotations

import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox._views import MOST_FILES

_MOST_DEPTH: Final = 15
_SLICE_S: Final = 0.002
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY


class Line:
    """A scratch folder on disk: that of one interpreter after another, each forked from the last.

    Args:
        folder: where it is; the folder is made.
    """

    __slots__ = ("scratch",)

    def __init__(self, folder: Path) -> None:
        self.scratch = folder
        folder.mkdir(mode=0o700)

    def excess(self, most_bytes: int) -> Iterator[str]:
        """Finds out in what its contents are too much; a process may be changing them meanwhile.

        Yields:
            Every few milliseconds: what was found so far, in words, empty where it is not too much.
        """
        size, count = 0, 0
        slice_end = time.monotonic() + _SLICE_S
        top = os.open(self.scratch, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        remaining = ["."]
        try:
            while remaining:
                path = remaining.pop()
                depth = path.count("/")
                # A folder may become a link between two looks at it; no link is followed.
                with suppress(OSError):
                    folder = kernel.open_beneath(top, path, _FOLDER)
                    try:
                        for entry in os.scandir(folder):
                            count += 1
                            size += 512 * entry.stat(follow_symlinks=False).st_blocks
                            if entry.is_dir(follow_symlinks=False):
                                remaining.append(f"{path}/{entry.name}")
                            if count > MOST_FILES:
                                break
                    finally:
                        os.close(folder)
                if size > most_bytes or count > MOST_FILES or depth > _MOST_DEPTH:
                    most = f"{most_bytes >> 20} MB, {MOST_FILES} entries or {_MOST_DEPTH} levels"
                    yield f"its files took more than {most}"
                    return
                if time.monotonic() > slice_end:
                    yield ""
                    slice_end = time.monotonic() + _SLICE_S
        finally:
            os.close(top)

    def remove(self) -> None:
        """Deletes it with all that is in it, however deep. No process uses it any more."""
        while entries := tuple(self.scratch.iterdir()):
            for entry in entries:
                if not _is_folder(entry):
                    entry.unlink()
                    continue
                entry.chmod(0o700)
                for inner in entry.iterdir():
                    if _is_folder(inner):
                        inner.chmod(0o700)
                    # What is deeper comes up, so that no path gets long.
                    inner.rename(self.scratch / uuid.uuid4().hex)
                entry.rmdir()
        self.scratch.rmdir()


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)

"""Defines how files and folders appear on disk whole or not at all, whatever kills the process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axpo_envs.plumbing.whole_files import PARTIAL, write_whole


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file that is either the old one or the new one, durably.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    write_whole(path, text.encode())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `path` when the block ends, and vanishes if the block raises.

    A folder that stands at `path` is replaced; between its removal and the renaming there is none.

    Raises:
        OSError: the disk is full or the parent cannot be written.
    """
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Removes what killed processes left in a folder. Only for the one process that writes there.

    Raises:
        OSError: something cannot be removed.
    """
    for leftover in folder.glob(f"{PARTIAL}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _partial(path: Path) -> Path:
    return path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")

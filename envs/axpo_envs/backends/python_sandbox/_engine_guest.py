"""Defines the process inside an engine's container: it executes cells that come on its standard input, one by one."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._cell import Display, execute, write
from axpo_envs.backends.python_sandbox._interpreter import seed
from axpo_envs.backends.python_sandbox._pictures import give

_CHUNK: Final = 1 << 16


class _Output:
    """What cells write, taken from a pipe as it fills; of one cell's the beginning is kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = bytearray()
        self._mark = b""
        self._marked = threading.Event()
        reading, writing = os.pipe()
        for stream in (1, 2):
            os.dup2(writing, stream)
        os.close(writing)
        threading.Thread(target=self._drain, args=(reading,), daemon=True).start()

    def take(self) -> str:
        """What was written since the last time."""
        self._mark = os.urandom(16)
        self._marked.clear()
        write("")
        os.write(1, self._mark)
        self._marked.wait()
        text = bytes(self._kept)
        self._kept.clear()
        return text.decode("utf-8", "replace")

    def _drain(self, reading: int) -> None:
        last = b""
        while data := os.read(reading, _CHUNK):
            last = (last + data)[-_CHUNK:]
            ended = bool(self._mark) and last.endswith(self._mark)
            self._kept += data[: max(0, self._most + len(self._mark) - len(self._kept))]
            if ended:
                self._kept = self._kept.removesuffix(self._mark)[: self._most]
                last, self._mark = b"", b""
                self._marked.set()


def main() -> None:
    """Serves until its input ends."""
    link_in, link_out = os.dup(0), os.dup(1)
    setup = frames.read(link_in).header
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    output = _Output(setup["output_bytes"])
    display = Display(text=setup["output_bytes"], figures=setup["figures"], pixels=setup["figure_pixels"])
    main_module = sys.modules["__main__"] = ModuleType("__main__")
    for name in ("PIL.ImageShow", *setup["preload"]):
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    number = 0
    while True:
        cell = frames.read(link_in)
        number += 1
        if number == 1:
            seed(cell.header["seed"])
        give(main_module.__dict__, cell.header["images"], cell.body, Path.cwd())
        executed = execute(cell.header["code"], number, main_module, display)
        sizes = [[figure.width, figure.height] for figure in executed.figures]
        report = {"succeeded": executed.succeeded, "figures": sizes, "text": output.take()}
        frames.write(link_out, report, b"".join(figure.pixels for figure in executed.figures))

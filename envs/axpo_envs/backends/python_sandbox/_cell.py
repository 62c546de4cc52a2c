"""Defines how a cell is executed: like a notebook's, with the value of its last expression shown and figures collected.

It runs inside the sandbox, in the interpreter that the executed code can tamper with: nothing here is to be relied on.
"""

from __future__ import annotations

import ast
import linecache
import os
import resource
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Final

from axpo_envs.backends.python_sandbox._pictures import Figure, Gallery, fits

MEMORY_RESERVE: Final = 32 << 20
"""Bytes that are left for reporting when a cell has used up its memory."""

_OUTPUT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What came of a cell, besides what it wrote."""

    succeeded: bool
    """It raised nothing."""
    figures: tuple[Figure, ...] = ()
    """The images that it showed, and the figures that it left open in the order of their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """How much is shown."""

    text: int
    """Characters of a value or a traceback."""
    figures: int
    """Figures of a cell."""
    pixels: int
    """Pixels of a figure; a larger one is drawn smaller."""


def execute(source: str, number: int, main: ModuleType, display: Display) -> Executed:
    """Executes a cell in a module's namespace; what it prints, its value and its traceback go to file descriptor 1.

    Args:
        source: the code.
        number: 1 for the first cell; tracebacks name it.
        main: the module `__main__`.
        display: how much is shown.
    """
    gallery = Gallery(display.figures, display.pixels)
    gallery.open()
    succeeded = _attempt(lambda: _run(source, number, main, display, gallery), display)
    figures: tuple[Figure, ...] = ()

    def draw() -> None:
        nonlocal figures
        figures = _draw_figures(display, gallery)

    succeeded = _attempt(draw, display) and succeeded
    return Executed(succeeded=succeeded, figures=figures)


def shorten(text: str, most: int) -> str:
    """The text, or its beginning and end around a note of how much is missing."""
    if len(text) <= most:
        return text
    head = most // 2
    tail = most - head
    return f"{text[:head]}\n[... {len(text) - most} characters left out ...]\n{text[-tail:]}"


def write(text: str) -> None:
    """Writes to file descriptor 1 behind everything printed so far."""
    for stream in (sys.stdout, sys.stderr):
        # The code may have put anything in their place.
        with suppress(Exception):
            stream.flush()
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(_OUTPUT, data) :]


def _run(source: str, number: int, main: ModuleType, display: Display, gallery: Gallery) -> None:
    name = f"<cell {number}>"
    # Tracebacks and inspect.getsource find the code there.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    with _limited_memory():
        body, last = _compile(source, name)
        exec(body, main.__dict__)
        value = None if last is None else eval(last, main.__dict__)
        shown = "" if value is None or gallery.add(value) else shorten(repr(value), display.text) + "\n"
    write(shown)


@contextmanager
def _limited_memory() -> Iterator[None]:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (most - MEMORY_RESERVE, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _compile(source: str, name: str) -> tuple[CodeType, CodeType | None]:
    """The statements, and the last expression where its value is to be shown: a semicolon at the end says no."""
    tree = ast.parse(source, name)
    last = None
    final = tree.body[-1] if tree.body else None
    if isinstance(final, ast.Expr) and not source.rstrip().endswith(";"):
        tree.body.pop()
        last = compile(ast.Expression(final.value), name, "eval", dont_inherit=True)
    return compile(tree, name, "exec", dont_inherit=True), last


def _attempt(action: Callable[[], None], display: Display) -> bool:
    """Whether an action succeeded; if it did not, its traceback was written."""
    try:
        action()
    except SystemExit as stop:
        if stop.code not in (None, 0):
            write(f"SystemExit: {stop.code}\n")
            return False
    except BaseException as error:
        write(shorten(_describe(error), display.text))
        return False
    return True


def _describe(error: BaseException) -> str:
    """The traceback, of which only the frames of cells are shown."""
    report = traceback.TracebackException.from_exception(error, compact=True)
    _keep_cells(report)
    return "".join(report.format() if report.stack else report.format_exception_only())


def _keep_cells(report: traceback.TracebackException) -> None:
    cells = [frame for frame in report.stack if frame.filename.startswith("<cell ")]
    report.stack = traceback.StackSummary.from_list(cells)
    for other in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if other is not None:
            _keep_cells(other)


def _draw_figures(display: Display, gallery: Gallery) -> tuple[Figure, ...]:
    """What was shown, matplotlib's open figures last."""
    gallery.add_open()
    figures, count = gallery.take()
    if count > len(figures):
        write(f"[{count - len(figures)} of {count} figures left out]\n")
    return tuple(figure for figure in figures if _can_show(figure, display.pixels))


def _can_show(figure: Figure, most_pixels: int) -> bool:
    shown = fits(figure.width, figure.height, most_pixels)
    if not shown:
        write(f"[a figure of {figure.width} x {figure.height} pixels left out]\n")
    return shown

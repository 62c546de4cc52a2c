"""Defines `Unfailing`, which keeps work going when showing it fails: a closed pipe, a terminal that is gone, a bug."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TextIO, TypeVar, cast

from axpo_envs.plumbing.printable import printable
from axpo_envs.plumbing.web.redaction import redact

if TYPE_CHECKING:
    from axpo.run.display import Display
    from axpo.settings.config import TrainConfig

P = ParamSpec("P")
D = TypeVar("D")


class Unfailing:
    """Calls what shows something. Its first failure is told, where that is possible, and ends the showing."""

    def __init__(self) -> None:
        self.failed = False

    def __call__(self, show: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Shows something, unless showing failed before."""
        if self.failed:
            return
        try:
            show(*args, **kwargs)
        # Rich leaves the program when the pipe it writes to is closed.
        except (Exception, SystemExit) as error:
            self.failed = True
            drop_broken_output()
            if not isinstance(error, OSError | SystemExit):
                say(f"axpo: the display failed and is off from here on: {type(error).__name__}: {error}")


class UnfailingDisplay:
    """A display whose failures end nothing but itself; what a person should know then goes to standard error.

    Args:
        display: what shows the run.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._show = Unfailing()

    def start(self, config: TrainConfig, step: int) -> None:
        """See `Display`."""
        self._show(self._display.start, config, step)

    def phase(self, name: str) -> None:
        """See `Display`."""
        self._show(self._display.phase, name)

    def step(self, record: Mapping[str, Any]) -> None:
        """See `Display`."""
        self._show(self._display.step, record)

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """See `Display`."""
        self._show(self._display.evaluation, record)

    def note(self, text: str) -> None:
        """See `Display`."""
        self._show(self._display.note, text)
        if self._show.failed:
            say(f"axpo: {text}")

    def __enter__(self) -> Self:
        self._show(self._display.__enter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(Exception, SystemExit):
            self._display.__exit__(kind, error, traceback)


def unfailing(display: D) -> D:
    """The same display, whatever its methods are, with its failures ending nothing but itself."""
    return cast("D", _Shown(display))


class _Shown:
    def __init__(self, display: object) -> None:
        self._display = display
        self._show = Unfailing()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return partial(self._show, getattr(self._display, name))


def say(text: str) -> None:
    """Writes a line to standard error, if anybody can still read it."""
    _write(text, sys.stderr)


def tell(text: str) -> None:
    """Writes a line of results to standard output, if anybody can still read it."""
    _write(text, sys.stdout)


def drop_broken_output() -> None:
    """Sends to nowhere what is written to a standard stream whose reader has gone, so that ending does not complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _write(text: str, stream: TextIO) -> None:
    try:
        print(printable(redact(text)), file=stream, flush=True)
    except (OSError, ValueError):
        drop_broken_output()

"""Defines `guarded`: a program whose errors become one clear message each, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from axpo.run._interrupts import STOPPING
from axpo.settings.config import ConfigError
from axpo.terminal.unfailing import drop_broken_output, say

FAILED: Final = 1
"""Exit code of a command that failed."""
BAD_ARGUMENTS: Final = 2
"""Exit code for arguments and settings that cannot work."""
STOPPED: Final = 130
"""Exit code after Ctrl-C, SIGTERM or SIGHUP."""


def guarded(program: str, arguments: Sequence[str] | None, run: Callable[[list[str]], int]) -> int:
    """Runs a program of this project: its errors become one message each, signals and closed pipes an exit code.

    Args:
        program: its name, which begins the messages.
        arguments: by default those of the process; `--debug` among them lets errors through as they are.
        run: is given the others, `--help` if there are none.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("AXPO_DEBUG", "") not in ("", "0")
    given = [argument for argument in given if argument != "--debug"] or ["--help"]
    for number in STOPPING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)
    try:
        return run(given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:
        # Whoever read the output has gone (`axpo ... | head`).
        drop_broken_output()
        return FAILED
    except Exception as error:
        if debug:
            raise
        say(f"{program}: {_describe(error)}")
        return BAD_ARGUMENTS if isinstance(error, ConfigError) else FAILED


def _describe(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if type(error).__module__.partition(".")[0].startswith("axpo") or isinstance(error, OSError):
        return text
    return f"{type(error).__name__}: {text} (unexpected; --debug shows where it came from)"


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

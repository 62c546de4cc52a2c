"""Runs the checks of one library in this interpreter and writes what came of them: `python -m ... NAME FILE`."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def outcome(check: Callable[[], None]) -> dict[str, Any]:
    """What came of a check: its name, its first line of documentation, and the error where it failed."""
    told = (check.__doc__ or "").strip().partition("\n")[0]
    try:
        check()
    except Exception as error:
        traceback.print_exc()
        return {
            "check": check.__name__,
            "holds": told,
            "passed": False,
            "error": f"{type(error).__name__}: {error}"[:500],
        }
    return {"check": check.__name__, "holds": told, "passed": True, "error": None}


def main(name: str, file: str) -> None:
    """Runs them all."""
    module = importlib.import_module(f"axpo_benchmarks.adapters.{name}")
    outcomes = [outcome(check) for check in module.CHECKS]
    for one in outcomes:
        print("passed" if one["passed"] else "FAILED", one["check"])
    Path(file).write_text(json.dumps(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

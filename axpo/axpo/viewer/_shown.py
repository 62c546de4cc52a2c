"""Defines `Shown`, what the groups of a step show, and `ShownIndex`, which keeps it on disk between looks at a run.

Of a step only the combinations of flags are kept that its groups show: enough to know, without reading its file, that
none of them is looked for. What a page shows is always read from the run itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from axpo.terminal.unfailing import say
from axpo.viewer._step_index import StepIndex
from axpo_envs.plumbing.cache_folder import cache_folder

T = TypeVar("T")

VERSION: Final = 2
"""Of what flags mean: to be raised whenever the same file would be given others."""
FILE: Final = f"shown-v{VERSION}.sqlite"
_WAIT_S: Final = 5.0
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS shown
(run TEXT, step INTEGER, made_of TEXT, flags TEXT, PRIMARY KEY (run, step)) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the groups of a step show."""

    made_of: str
    """What it was computed from: the file's stamp, names of tools, the threshold of success."""
    flags: frozenset[frozenset[str]]
    """The combinations that occur; empty where the step has no group."""

    @classmethod
    def of(cls, index: StepIndex, made_of: str) -> Shown:
        """What the groups of an index show."""
        return cls(made_of=made_of, flags=frozenset(group.flags for group in index.groups))

    def has(self, wanted: Collection[str]) -> bool:
        """Whether a group shows all that is wanted."""
        return any(flags.issuperset(wanted) for flags in self.flags)


class ShownIndex:
    """What the steps of runs show, in a file that several viewers may share.

    It holds nothing that cannot be computed again: where it cannot be written it is done without, which is said once;
    a file that is none of SQLite's is begun anew.

    Args:
        folder: where the file is; `axpo/view` in the user's cache by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (cache_folder("view") if folder is None else folder) / FILE
        self._usable = True

    def of(self, run: Path) -> Mapping[int, Shown]:
        """What is known of a run's steps, up to date or not."""

        def read(connection: sqlite3.Connection) -> Mapping[int, Shown]:
            rows = connection.execute("SELECT step, made_of, flags FROM shown WHERE run = ?", (_name(run),))
            return {step: Shown(made_of=made_of, flags=_sets(flags)) for step, made_of, flags in rows}

        return self._with(read) or {}

    def keep(self, run: Path, found: Mapping[int, Shown]) -> None:
        """Keeps what steps of a run show, in place of what was known of them."""
        rows = [(_name(run), step, shown.made_of, _text(shown.flags)) for step, shown in found.items()]
        if rows:
            self._with(
                lambda connection: connection.executemany("INSERT OR REPLACE INTO shown VALUES (?, ?, ?, ?)", rows)
            )

    def _with(self, act: Callable[[sqlite3.Connection], T]) -> T | None:
        if not self._usable:
            return None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as connection, connection:
                connection.execute(_TABLE)
                return act(connection)
        except (OSError, sqlite3.OperationalError) as error:
            self._give_up(str(error))
        except (sqlite3.DatabaseError, ValueError):
            with suppress(OSError):
                self._path.unlink()
        return None

    def _give_up(self, problem: str) -> None:
        self._usable = False
        say(f"axpo view: searches are not remembered, since {self._path} cannot be used: {problem}")


def _name(run: Path) -> str:
    # Paths may hold bytes that are no text.
    return str(run.absolute()).encode("utf-8", "backslashreplace").decode()


def _text(flags: Collection[frozenset[str]]) -> str:
    return json.dumps(sorted(sorted(each) for each in flags))


def _sets(text: str) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(each) for each in json.loads(text))

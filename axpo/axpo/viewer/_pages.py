"""Defines what the pages of the viewer show, as their templates read it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from axpo.records._checked_json import DamagedFileError
from axpo.records._folder import METRICS
from axpo.records._rollout_json import SchemaError
from axpo.viewer._curves import strands
from axpo.viewer._flags import FLAGS
from axpo.viewer._library import Library
from axpo.viewer._query import ALL, LATEST, Look
from axpo.viewer._runs import Progress, Run, Shelf
from axpo.viewer._step_index import GroupIndex, StepIndex
from axpo.viewer._tokens import LEVELS, Tokens, tokenizer_file
from axpo.viewer._tree import LinkedAlbum, Reader
from axpo.viewer._watched import Watched, stamp_of

GROUPS: Final = 48
"""Groups on a page of a step."""
LIVE_S: Final = 120.0
"""Seconds after the last change of a run's records for which it counts as going on."""


class NotFoundError(LookupError):
    """What an address names is not there; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run in the table of runs."""

    run: Run
    """The run."""
    label: str
    """What its line is called."""
    role: str
    """Its line's colour."""
    progress: Progress
    """What its records say."""
    live: bool
    """Its records changed a moment ago and are not at their end."""
    newest: int | None
    """The newest step whose rollouts are saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A group in a grid."""

    step: int
    """Its step."""
    group: GroupIndex
    """Its rollouts."""


class Pages:
    """What there is to see of some runs.

    Args:
        shelf: the runs.
        library: their rollouts.
        tokenizer: a `tokenizer.json`, or a folder with one, for runs that bring none.
    """

    def __init__(self, shelf: Shelf, library: Library, *, tokenizer: Path | None = None) -> None:
        self.shelf = shelf
        self.library = library
        self._tokenizer = tokenizer
        self._tokens: Watched[Tokens] = Watched(20)

    def run(self, name: str) -> Run:
        """The run of a name; the first where it is empty.

        Raises:
            NotFoundError: there is none.
        """
        runs = self.shelf.runs()
        if not runs:
            raise NotFoundError("there is no run here any more")
        if name and name not in runs:
            raise NotFoundError(f"there is no run {name!r:.200}")
        return runs[name] if name else next(iter(runs.values()))

    def overview(self) -> dict[str, Any]:
        """The table of runs."""
        runs = list(self.shelf.runs().values())
        rows = {run.name: self._row(run, strand.label, strand.role) for strand in strands(runs) for run in strand.runs}
        return {"rows": [rows[run.name] for run in runs]}

    def state(self) -> dict[str, Any]:
        """How far every run is, and a stamp that changes with whatever there is to see."""
        runs = self.shelf.runs().values()
        rows = [self._row(run, "", "") for run in runs]
        return {
            "stamp": self.shelf.stamp(),
            "runs": {row.run.name: {"done": row.progress.done, "newest": row.newest, "live": row.live} for row in rows},
        }

    def rollouts(self, look: Look) -> dict[str, Any]:
        """The groups of a step, or of all steps as far as they were looked through.

        Raises:
            NotFoundError: there is no such run, or nothing is saved of that step.
        """
        run = self.run(look.run)
        look = replace(look, run=run.name)
        saved = self.library.saved(run)
        shared = {"run": run, "runs": list(self.shelf.runs()), "look": look, "saved": saved, "flags": FLAGS}
        if look.step == ALL:
            return {**shared, **self._all(run, look), "step": None}
        if not saved and look.step == LATEST:
            return {**shared, "cards": [], "step": None, "problems": (), "nothing": True}
        step = saved[-1] if look.step == LATEST else int(look.step)
        if step not in saved:
            raise NotFoundError(f"no rollouts of step {step} are saved in {run.name}")
        return {**shared, **self._step(run, look, step), **_around(saved, step)}

    def group(self, look: Look) -> dict[str, Any]:
        """A group as its tree, one of its rollouts opened.

        Raises:
            NotFoundError: there is no such run, step, group or rollout.
        """
        run = self.run(look.run)
        saved = self.library.saved(run)
        step = saved[-1] if saved and not isinstance(look.step, int) else look.step
        if step not in saved or not isinstance(step, int):
            raise NotFoundError(f"no rollouts of step {step} are saved in {run.name}")
        look = replace(look, run=run.name, step=step)
        index = self.library.step(run, step)
        group = next((each for each in index.groups if each.number == look.group), None)
        if group is None:
            raise NotFoundError(f"no group {look.group} is saved of step {step} in {run.name}")
        line = _opened(group) if look.at is None else look.at
        try:
            family = self.reader(run, step).family(group, line)
        except StopIteration:
            raise NotFoundError(f"group {group.number} has no rollout in line {line}") from None
        except (OSError, SchemaError, DamagedFileError) as error:
            raise NotFoundError(f"step {step} cannot be read: {error}") from error
        shown = [each.number for each in index.groups if each.flags.issuperset(look.show)]
        numbers = sorted({*shown, group.number})
        place = numbers.index(group.number)
        return {
            "run": run,
            "look": look,
            "step": step,
            "group": group,
            "line": line,
            "family": family,
            "levels": range(LEVELS),
            "place": place + 1,
            "many": len(numbers),
            "earlier": numbers[place - 1] if place else None,
            "later": numbers[place + 1] if place + 1 < len(numbers) else None,
            "flags": FLAGS,
        }

    def reader(self, run: Run, step: int) -> Reader:
        """Reads groups of a step."""
        path = tokenizer_file(run.folder, str(run.settings["model"]), self._tokenizer)
        made_of = (path, None if path is None else stamp_of(path))
        tokens = self._tokens.get(run.folder, made_of, lambda: Tokens.read(path))
        link = f"{Look(run=run.name, step=step).link('/image')}&digest="
        album = LinkedAlbum(rollouts=run.rollouts, success_threshold=run.threshold, link=link)
        return Reader(run=run, step=step, album=album, tokens=tokens)

    def _row(self, run: Run, label: str, role: str) -> RunRow:
        progress = self.shelf.progress(run)
        saved = self.library.saved(run)
        changed = stamp_of(run.folder / METRICS)
        recent = changed is not None and time.time() - changed[2] / 1e9 < LIVE_S
        live = recent and not 0 < run.steps <= progress.done
        return RunRow(
            run=run, label=label, role=role, progress=progress, live=live, newest=saved[-1] if saved else None
        )

    def _all(self, run: Run, look: Look) -> dict[str, Any]:
        found = self.library.find(run, look.show, before=look.before)
        cards = [Card(step=step, group=group) for step, group in found.groups]
        return {"cards": cards, "found": found, "problems": found.problems, "nothing": False}

    def _step(self, run: Run, look: Look, step: int) -> dict[str, Any]:
        index = self.library.step(run, step)
        groups = [group for group in index.groups if group.flags.issuperset(look.show)]
        pages = max(-(-len(groups) // GROUPS), 1)
        page = min(look.page, pages)
        return {
            "cards": [Card(step=step, group=group) for group in groups[(page - 1) * GROUPS : page * GROUPS]],
            "step": step,
            "index": index,
            "matching": len(groups),
            "page": page,
            "pages": pages,
            "counts": _counts(index),
            "tally": tally(index),
            "problems": index.problems,
            "nothing": False,
        }


def tally(index: StepIndex) -> Mapping[str, int]:
    """Saved rollouts of a step by outcome and tool use."""
    entries = [entry for group in index.groups for entry in group.rollouts]
    kinds = Counter((entry.right, entry.used_tool) for entry in entries)
    return {
        f"{'right' if right else 'wrong'} {'tool' if tool else 'idle'}": kinds[right, tool]
        for right in (True, False)
        for tool in (True, False)
    }


def _counts(index: StepIndex) -> Mapping[str, int]:
    return Counter(name for group in index.groups for name in group.flags)


def _around(saved: tuple[int, ...], step: int) -> dict[str, Any]:
    place = saved.index(step)
    return {
        "place": place,
        "earlier": saved[place - 1] if place else None,
        "later": saved[place + 1] if place + 1 < len(saved) else None,
    }


def _opened(group: GroupIndex) -> int:
    """The line that is shown first: a source that recovered, any source, one that called a tool, or the first."""
    ranked = sorted(
        group.entries,
        key=lambda entry: (
            entry.origin is not None,
            "recovered" not in entry.flags,
            not entry.branches,
            not entry.used_tool,
        ),
    )
    return ranked[0].place.line

"""Defines `tracked`: the trackers of a run are told of it, and no failure of theirs ends it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from axpo.records import _atomic as atomic
from axpo.records._reading import metric_values
from axpo.run.callbacks import Callback, RunMoment
from axpo.run.trackers import Tracked, Tracker, make_tracker
from axpo.settings.config import TrainConfig
from axpo.settings.config_file import dotted

TRACKERS: Final = "trackers.json"
"""In a run's folder: by tracker, what it finds the run by."""


@contextmanager
def tracked(config: TrainConfig, folder: Path, note: Callable[[str], None]) -> Iterator[tuple[Callback, ...]]:
    """Begins what `log.trackers` names, and ends it; yields the callbacks that tell them of the run.

    Args:
        config: the run's settings.
        folder: its folder.
        note: takes a line for people.
    """
    telling = [_Telling(name, make_tracker(name), note) for name in config.log.trackers]
    ids = _ids(folder)
    settings = dict(dotted(asdict(config)))
    finished = False
    try:
        for each in telling:
            run = Tracked(name=folder.absolute().name, folder=folder, settings=settings, id=ids.get(each.name))
            ids[each.name] = each.begin(run)
        if telling:
            atomic.write_text(folder / TRACKERS, json.dumps(ids, indent=2) + "\n")
        yield tuple(telling)
        finished = True
    finally:
        for each in telling:
            each.end(finished=finished)


class _Telling(Callback):
    """Tells one tracker, until it fails."""

    def __init__(self, name: str, tracker: Tracker, note: Callable[[str], None]) -> None:
        self.name = name
        self._tracker: Tracker | None = tracker
        self._note = note

    def begin(self, run: Tracked) -> str | None:
        with self._unfailing():
            return None if self._tracker is None else self._tracker.begin(run)
        return run.id

    def after_step(self, moment: RunMoment, record: Mapping[str, Any]) -> None:
        self._tell("train", record, moment.step)

    def after_evaluation(self, moment: RunMoment, record: Mapping[str, Any]) -> None:
        self._tell("eval", metric_values(record), moment.step)

    def end(self, *, finished: bool) -> None:
        with self._unfailing():
            if self._tracker is not None:
                self._tracker.end(finished=finished)

    def _tell(self, part: str, record: Mapping[str, Any], step: int) -> None:
        told = ((name, value) for name, value in record.items() if name != "step" and _is_told(value))
        values = {f"{part}/{name}": float(value) for name, value in told}
        with self._unfailing():
            if self._tracker is not None:
                self._tracker.log(values, step)

    @contextmanager
    def _unfailing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._tracker = None
            self._note(f"the tracker {self.name} failed, the run goes on without it: {type(error).__name__}: {error}")


def _is_told(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _ids(folder: Path) -> dict[str, str | None]:
    """What trackers found the run by; nothing where that is not known or not readable."""
    try:
        found = json.loads((folder / TRACKERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): id for name, id in found.items()} if isinstance(found, dict) else {}

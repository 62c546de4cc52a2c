"""Defines the process of one cell: it trains or goes on, evaluates, and leaves the cell's row in its folder.

Whatever kills it, the next one goes on: from the newest checkpoint, and past evaluations that are there.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from axpo.records.run_log import RunLog
from axpo.run.callbacks import Callback, RunMoment, StopRun
from axpo.run.display import Silent
from axpo.run.trainer import resume, train
from axpo.settings.config import TrainConfig
from axpo.terminal.guarding import guarded
from axpo.terminal.unfailing import say
from axpo_agents.transformers_policy import load_policy
from axpo_benchmarks.evidence._job import (
    COMMITS,
    CPU,
    EARLIER,
    END,
    EVALUATIONS,
    PROBE,
    ROW,
    RUN,
    TRAINED,
    Job,
    read_job,
)
from axpo_benchmarks.evidence.arms import START, arm_named
from axpo_benchmarks.evidence.cells import Cell, deciding, settings_hash, settings_of, start_hash
from axpo_benchmarks.evidence.curve import curve_of
from axpo_benchmarks.evidence.looking import HeldOutQuestions
from axpo_benchmarks.evidence.rows import FORMAT, Row
from axpo_benchmarks.machine import commit, provenance
from axpo_envs.plumbing.whole_files import write_whole

_EVEN: Final = "equal_"
_MARKED: Final = (
    "pass1",
    "pass4",
    "tool_attempt_rate",
    "tool_pass1",
    "no_tool_pass1",
    "all_wrong_tool_subgroups",
    "dead_groups",
    "well_formed_rate",
)
_FARTHEST: Final = 20
"""How many times a cell's steps a run may make that goes on until something is spent."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the cell of the folder that is named; returns the exit code."""
    return guarded("cell", arguments, lambda given: run_cell(Path(given[0])))


def run_cell(folder: Path) -> int:
    """Does what is left of a cell."""
    job = read_job(folder)
    with (folder / COMMITS).open("a", encoding="utf-8") as file:
        file.write(f"{commit()}\n")
    asked = settings_of(job.cell, folder / RUN)
    config = _begun_after(job, folder, asked)
    if job.until:
        config = _lasting(config)
    held_out = HeldOutQuestions(config, job.cell.looks)
    trained = _trained(job, folder, config, held_out)
    if not job.until and not _evaluated(folder, END):
        model = config.model if trained is None else trained["checkpoint"]
        step = 0 if trained is None else trained["step"]
        _write_evaluation(folder, END, step, held_out.evaluate(load_policy(model)))
    if job.cell.arm == START and job.cell.looks.probe_resamples and not (folder / PROBE).is_file():
        _write(folder / PROBE, held_out.probe(load_policy(config.model)))
    _write(folder / ROW, {**_row(job, folder, asked), **_start(job.cell, config)})
    return 0


def _begun_after(job: Job, folder: Path, config: TrainConfig) -> TrainConfig:
    """The settings with the start of an arm that comes after another: what that one's run ended with, which is made
    here where no other cell has made it."""
    after = arm_named(job.cell.arm).after
    if after is None:
        return config
    before = replace(job.cell, arm=after)
    if job.begun is not None:
        return replace(config, model=_known(job.begun / TRAINED)["checkpoint"])
    place = folder / EARLIER
    place.mkdir(exist_ok=True)
    first = settings_of(before, place / RUN)
    held_out = HeldOutQuestions(first, job.cell.looks)
    ended = _trained(replace(job, cell=before), place, first, held_out)
    assert ended is not None, before
    return replace(config, model=ended["checkpoint"])


def _lasting(config: TrainConfig) -> TrainConfig:
    return replace(config, steps=_FARTHEST * config.steps)


def _trained(job: Job, folder: Path, config: TrainConfig, held_out: HeldOutQuestions) -> dict[str, Any] | None:
    """Trains, unless that is done; where the last checkpoint lies, and after how many steps. None for the start."""
    if job.cell.arm == START:
        return None
    done, run = folder / TRAINED, folder / RUN
    if not done.is_file():
        if job.begun is not None and job.until and not run.exists():
            _take_over(job.begun, folder)
        watch = _Watch(job, folder, held_out)
        if (run / "config.toml").is_file():
            result = resume(run, changes={"steps": config.steps}, display=watch.display, callbacks=(watch,))
        else:
            result = train(config, display=watch.display, callbacks=(watch,))
        found = {"checkpoint": str(result.checkpoint), "step": result.metrics[-1]["step"]}
        _write(done, found)
    return _known(done)


def _known(done: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return known


def _start(cell: Cell, config: TrainConfig) -> dict[str, str]:
    """What training began from, for a row."""
    after = arm_named(cell.arm).after
    name = "tiny" if config.model == "tiny" else Path(config.model).name
    return {"start": f"{after} of seed {cell.seed}" if after else name, "start_hash": start_hash(config)}


def _take_over(begun: Path, folder: Path) -> None:
    """Copies the first steps of a run, which this one would make again to the bit."""
    shutil.copyfile(begun / CPU, folder / CPU)
    partial = folder / f"{RUN}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(begun / RUN, partial)
    partial.rename(folder / RUN)


class _Watch(Callback):
    """Counts the processor's time of steps, and evaluates where a run has spent what another one did."""

    def __init__(self, job: Job, folder: Path, held_out: HeldOutQuestions) -> None:
        self._until, self._folder, self._held_out = job.until, folder, held_out
        self._since = time.process_time()
        self.display = _Clock(self)

    def begin(self) -> None:
        """What was used up to here belongs to no step."""
        self._since = time.process_time()

    def after_step(self, moment: RunMoment, record: Mapping[str, Any]) -> None:
        """Writes what the step took, and looks at the policy where it is to be looked at."""
        used = time.process_time() - self._since
        with (self._folder / CPU).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": moment.step, "cpu_seconds": round(used, 3)}) + "\n")
        if self._until:
            self._look(moment, record)
        self.begin()

    def after_evaluation(self, moment: RunMoment, record: Mapping[str, Any]) -> None:
        """An evaluation takes no time of a step."""
        del moment, record
        self.begin()

    def after_checkpoint(self, moment: RunMoment, checkpoint: Path) -> None:
        """Nor does a checkpoint."""
        del moment, checkpoint
        self.begin()

    def _look(self, moment: RunMoment, record: Mapping[str, Any]) -> None:
        cpu = sum(seconds for step, seconds in cpu_seconds(self._folder).items() if step <= moment.step)
        spent = {**{name: record[f"total_{name}"] for name in ("rollouts", "tokens")}, "cpu_seconds": cpu}
        met = [name for name, limit in self._until.items() if spent[name] >= limit]
        new = [name for name in met if not _evaluated(self._folder, f"{_EVEN}{name}")]
        found = self._held_out.evaluate(moment.policy, briefly=True) if new else []
        for name in new:
            _write_evaluation(self._folder, f"{_EVEN}{name}", moment.step, found)
        if all(_evaluated(self._folder, f"{_EVEN}{name}") for name in self._until):
            raise StopRun("everything is spent")


class _Clock(Silent):
    """Tells the watch when the run begins, and the cell's log what a person should know."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    def start(self, config: TrainConfig, step: int) -> None:
        say(f"cell: training from step {step} of {config.steps}")
        self._watch.begin()

    def note(self, text: str) -> None:
        say(f"cell: {text}")


def cpu_seconds(folder: Path) -> dict[int, float]:
    """The processor's time of each step of a cell; a step that was made again counts as the last time."""
    path = folder / CPU
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # cut short by a kill; the step is made again
        found[int(record["step"])] = float(record["cpu_seconds"])
    return found


def _evaluated(folder: Path, name: str) -> bool:
    return (folder / EVALUATIONS / f"{name}.json").is_file()


def _write_evaluation(folder: Path, name: str, step: int, found: list[dict[str, Any]]) -> None:
    path = folder / EVALUATIONS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    _write(path, [{"at": name, "step": step, **record} for record in found])


def _evaluations(folder: Path) -> list[dict[str, Any]]:
    """All full evaluations, in the order of training."""
    found = [
        record
        for path in sorted((folder / EVALUATIONS).glob("*.json"))
        for record in json.loads(path.read_text(encoding="utf-8"))
    ]
    return sorted(found, key=lambda record: record["step"])


def _row(job: Job, folder: Path, config: TrainConfig) -> Row:
    """The row of a cell that is done."""
    cell, arm = job.cell, arm_named(job.cell.arm)
    commits = list(dict.fromkeys((folder / COMMITS).read_text(encoding="utf-8").split("\n")[:-1]))
    asked = {
        "format": FORMAT,
        "cell": job.identity,
        "family": cell.family.name,
        "point": dict(cell.family.point),
        "arm": cell.arm,
        "after": arm.after,
        "method": None if cell.arm == START else arm.method,
        "label": arm.label,
        "seed": cell.seed,
        "asked_steps": 0 if cell.arm == START else cell.steps,
        "until": job.until,
        "settings_hash": settings_hash(config),
        "settings": deciding(config),
    }
    made = {**provenance(), "command": job.command, "workers": job.workers, "commit": commits[-1], "commits": commits}
    evaluations = _evaluations(folder)
    spent = {} if cell.arm == START else _spent(folder)
    if (folder / PROBE).is_file():
        spent["probe"] = json.loads((folder / PROBE).read_text(encoding="utf-8"))
    looked = round(sum(record["cpu_seconds"] for record in evaluations), 1)
    return {**asked, **made, **spent, "evaluation_cpu_seconds": looked, "evaluations": evaluations}


def _spent(folder: Path) -> dict[str, Any]:
    """What training took, went through, and achieved on the way."""
    with RunLog.open(folder / RUN, tensorboard=False) as log:
        steps, evaluations = log.steps(), log.evaluations()
    cpu, last = cpu_seconds(folder), steps[-1]
    marks = [{"step": record["step"], "questions": record["questions"], **_values(record)} for record in evaluations]
    return {
        "steps": last["step"],
        **{name: round(last[f"total_{name}"], 1) for name in ("rollouts", "tokens", "trained_tokens", "seconds")},
        "cpu_seconds": round(sum(cpu.get(record["step"], 0.0) for record in steps), 1),
        "curve": curve_of(steps, cpu),
        "marks": marks,
    }


def _values(record: Mapping[str, Any]) -> dict[str, float | None]:
    values = {name: metric["value"] for name, metric in record["metrics"].items() if name in _MARKED}
    return {name: None if value is None else round(value, 4) for name, value in values.items()}


def _write(path: Path, content: Any) -> None:
    write_whole(path, (json.dumps(content) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())

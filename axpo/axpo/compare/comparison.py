"""Defines `compare`, which trains several methods from one checkpoint on the same questions, side by side."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import tyro
from rich.console import Console

from axpo.algorithm.methods import label_of, method_named
from axpo.records._folder import CONFIG, is_run
from axpo.records._reading import read_evaluations, read_steps
from axpo.records.outcomes import COMPARISON, Comparison, Entry, run_outcome, start_outcome
from axpo.report._page_parts import columns, measured_methods, rows
from axpo.report._report import REPORT, write_report
from axpo.run._resumption import differences
from axpo.run.validation import check_new_folder, resolved
from axpo.settings.config import ConfigError, SamplingConfig, TrainConfig
from axpo.settings.config_file import read_toml
from axpo.settings.values import CountOrNone, Name
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.unfailing import Unfailing
from axpo.training import resume, train
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch

_RUN_NAME: Final = re.compile(r"[a-z0-9_+]+(-seed\d+)?")
"""Name of a run's folder within a comparison's."""
_PACKAGES: Final = ("axpo", "torch", "transformers", "gymnasium")


EMBEDDED: Final = TrainConfig(out="runs/main", sampling=SamplingConfig(max_turn_tokens=64, max_episode_tokens=512))
"""The main job: the embedded policy on VisualZoom. Its turns are about 20 tokens long; one that goes on is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonConfig:
    """What is compared."""

    methods: tuple[Name, ...] = ("grpo", "axpo")
    """Rows of the comparison: grpo, axpo, grpo_n10 (any number of rollouts per question), an ablation of AXPO
    (axpo_random, axpo_scratch, axpo_no_tool, axpo_no_prefix_credit, axpo_prefix_credit_only, axpo_joint_groups), or a
    rival (tool_penalty, tool_bonus, pixel_reasoner, cispo, arpo, rltf, dapo, gspo, dr_grpo; all in docs/methods.md)."""
    seeds: tuple[CountOrNone, ...] = ()
    """Seeds, each of which trains every method; the base's seed if there are none."""
    base: Annotated[TrainConfig, tyro.conf.arg(name="")] = EMBEDDED
    """What all runs have in common; its `out` is the comparison's folder, its method is not used."""


def compare(config: ComparisonConfig, *, console: Console | None = None) -> Comparison:
    """Trains every method with every seed, one run after the other, and compares them on held-out questions.

    The runs are kept in the comparison's folder, as METHOD or, with several seeds, as METHOD-seedN. A run that is
    there already is used if it is finished, and continued if it is not, so a comparison that was interrupted goes on
    when it is asked for again. `comparison.json` and `report.html` are written, and the table is printed.

    Args:
        config: what is compared.
        console: where the table is printed.

    Raises:
        ConfigError: a setting is unusable, or a run that is there was made with other settings; nothing was done yet.
        Interrupted: SIGINT, SIGTERM or SIGHUP arrived; the run under way was saved.
        Exception: whatever `axpo.train` raises.
    """
    console = console or Console()
    folder = Path(config.base.out)
    runs = list(_runs(config))
    _check_folder(folder, {run.method for run in runs})
    for run in runs:
        run.check()
    show = Unfailing()
    try:
        for number, run in enumerate(runs, start=1):
            title = f"run {number} of {len(runs)}: {label_of(run.method)}, seed {run.config.seed}"
            show(console.print, title, markup=False)
            run.finish()
    except KeyboardInterrupt:
        show(console.print, "the comparison was stopped; ask for it again to go on where it stopped", markup=False)
        raise
    comparison = _collected(folder, runs)
    comparison.write(folder)
    for path in (*(run.folder for run in runs), folder):
        write_report(path)
    show(console.print, comparison_table(comparison))
    show(console.print, f"report: {folder / REPORT}", markup=False, soft_wrap=True)
    return comparison


def comparison_table(comparison: Comparison) -> FittingTable:
    """The comparison for a terminal: one row per method, mean and standard deviation where there are several seeds."""
    measured = measured_methods(comparison)
    return FittingTable(
        title=f"After {comparison.steps} steps",
        columns=columns(measured),
        rows=tuple((row.label, *row.cells) for row in rows(measured)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of a comparison, done or to be done."""

    method: str
    config: TrainConfig

    @property
    def folder(self) -> Path:
        return Path(self.config.out)

    def check(self) -> None:
        """Raises a ConfigError if the run cannot be done, or was done with other settings."""
        wanted = resolved(self.config)
        if not is_run(self.folder):
            check_new_folder(self.folder)
            return
        read_steps(self.folder)
        found = replace(read_toml(self.folder / CONFIG, TrainConfig), out=wanted.out)
        if found != wanted:
            names = ", ".join(f"{name}={b}, not {a}" for name, (b, a) in differences(found, wanted).items())
            raise ConfigError(
                f"out: {self.folder} holds a run with other settings ({names}); choose another folder, or delete it"
            )

    def finish(self) -> None:
        """Does what is still to be done of it."""
        if not is_run(self.folder):
            train(self.config)
        elif not self._is_finished():
            resume(self.folder)

    def _is_finished(self) -> bool:
        last = self.config.steps
        trained = any(record["step"] == last for record in read_steps(self.folder))
        return trained and any(record["step"] == last for record in read_evaluations(self.folder))


def _check_folder(folder: Path, methods: Collection[str]) -> None:
    """Raises a ConfigError if a folder holds anything else than a comparison, whole or begun."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"out: expected a folder; {folder} is a file")
    if not folder.exists():
        return
    if (folder / CONFIG).is_file():
        raise ConfigError(f"out: {folder} is the folder of a run, a checkpoint or a supervised run; choose another one")
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in (COMPARISON, REPORT):
            continue
        known = _method(path) in methods or label_of(_method(path)) != _method(path)
        if not path.is_dir() or not _RUN_NAME.fullmatch(path.name) or not known:
            raise ConfigError(
                f"out: expected a new or empty folder, or that of a comparison; {folder} holds {path.name}"
            )


def _method(run: Path) -> str:
    return run.name.partition("-seed")[0]


def _runs(config: ComparisonConfig) -> Iterator[_Run]:
    base = config.base
    seeds = config.seeds or (base.seed,)
    for name, values in (("methods", config.methods), ("seeds", seeds)):
        if not values or len(set(values)) < len(values):
            raise ConfigError(
                f"{name}: expected at least one, and none of them twice; got {' '.join(map(str, values))}"
            )
    if base.method != TrainConfig().method:
        raise ConfigError(f"method: a comparison is of several, named by --methods; got {base.method!r}")
    if base.log.eval_questions == 0:
        raise ConfigError("log.eval_questions: a comparison is made on held-out questions; expected at least 1, got 0")
    for seed in seeds:
        for name in config.methods:
            method = method_named(name)
            folder = Path(base.out) / (method.name if len(seeds) == 1 else f"{method.name}-seed{seed}")
            yield _Run(method=method.name, config=replace(base, method=name, seed=seed, out=str(folder)))


def _collected(folder: Path, runs: list[_Run]) -> Comparison:
    first = runs[0]
    methods = list(dict.fromkeys(run.method for run in runs))
    return Comparison(
        start=start_outcome(first.folder, seed=first.config.seed, relative_to=folder),
        entries=tuple(
            Entry(
                name=name,
                runs=tuple(
                    run_outcome(run.folder, seed=run.config.seed, relative_to=folder)
                    for run in runs
                    if run.method == name
                ),
            )
            for name in methods
        ),
        steps=first.config.steps,
        machine=_machine(first.config),
    )


def _machine(config: TrainConfig) -> dict[str, str]:
    """What the numbers depend on besides the settings."""
    return {
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "device": config.policy.device,
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }

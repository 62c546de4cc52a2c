"""Defines `Cell`, one run of the evidence: family, arm and seed, the settings that follow, what tells it apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from axpo.run.validation import resolved
from axpo.settings.config import LogConfig, TrainConfig
from axpo.settings.config_file import dotted
from axpo.settings.values import Count, CountOrNone, Name
from axpo_agents.tiny import tiny_folder
from axpo_benchmarks.evidence.arms import START, arm_named
from axpo_benchmarks.evidence.families import Family

_LENGTH: Final = 12
_IDLE: Final = {"loss.max_importance": 0.0}
"""Values that settings left open get where they change nothing."""
_WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How often, and at how much, a cell is evaluated on held-out questions."""

    questions: Count = 1000
    """Held-out questions at the end."""
    samples: Count = 8
    """Rollouts per question at temperature 1."""
    paper_samples: CountOrNone = 4
    """Rollouts per question at the paper's sampling settings (temperature 0.7, top-p 0.8, top-k 20); 0 for
    none."""
    greedy: bool = True
    """Whether the most probable tokens are taken once per question, too."""
    mark_every: Count = 30
    """Training steps between smaller evaluations on the way."""
    mark_questions: Count = 200
    """Their questions."""
    mark_samples: Count = 4
    """Their rollouts per question."""
    probe_resamples: CountOrNone = 0
    """Calls that are sampled anew, at the start, from a failed rollout's thinking on each question; 0 for none."""


FULL: Final = Looks()
"""The evaluations of the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of the evidence."""

    family: Family
    """What is trained on, from where, and how."""
    arm: Name
    """What is trained."""
    seed: CountOrNone
    """Seeds questions, sampling and order."""
    steps: Count
    """Training steps; 0 steps are made by the arm `start`."""
    looks: Looks = FULL
    """How it is evaluated."""

    @property
    def title(self) -> str:
        """What people read while it runs."""
        where = self.family.label if self.family.point else self.family.name
        return f"{where}, {self.arm}, seed {self.seed}"


def settings_of(cell: Cell, out: Path) -> TrainConfig:
    """The settings of a cell's run in a folder, with nothing left open.

    Raises:
        ConfigError: a setting is unusable.
    """
    arm, looks = arm_named(cell.arm), cell.looks
    log = LogConfig(
        checkpoint_every=10,
        keep_checkpoints=1,
        rollouts_every=0,
        tensorboard=False,
        eval_questions=looks.mark_questions,
        eval_samples=looks.mark_samples,
        eval_every=looks.mark_every,
        eval_split=cell.family.base.log.eval_split,
    )
    config = replace(cell.family.base, method=arm.method, seed=cell.seed, steps=cell.steps, out=str(out), log=log)
    return resolved(arm.change(config))


def deciding(config: TrainConfig) -> dict[str, Any]:
    """The settings that decide what is trained and are not the defaults, by dotted name; seed and steps are apart.

    Settings that a later version adds with a default that changes nothing therefore leave it as it was.
    """
    plain = TrainConfig()
    apart = replace(config, out=plain.out, seed=plain.seed, steps=plain.steps, log=plain.log, model=_stem(config.model))
    defaults = dict(dotted(asdict(plain)))
    found = json.loads(json.dumps(asdict(apart), default=str))
    return {
        name: value
        for name, value in dotted(found)
        if value != json.loads(json.dumps(defaults[name])) and _IDLE.get(name) != value
    }


def settings_hash(config: TrainConfig) -> str:
    """What stands for `deciding(config)`: twelve hexadecimal digits."""
    text = json.dumps(deciding(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def start_hash(config: TrainConfig) -> str:
    """What stands for the weights that training starts from: the hash of their file, or the name of a model elsewhere.

    Raises:
        MissingExtraError: it is the embedded policy, whose weights are not installed.
    """
    folder = tiny_folder() if config.model == "tiny" else Path(config.model)
    for name in _WEIGHTS:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()[:_LENGTH]
    return config.model


def identity(cell: Cell) -> str:
    """What tells a cell from all others, whatever commit it is run at; also the name of its folder.

    Raises:
        ConfigError: a setting is unusable.
    """
    steps = 0 if cell.arm == START else cell.steps
    # Checking settings takes a while, and the hashes know no seed.
    hashes = _hashes(replace(cell, seed=0))
    parts = (cell.arm.replace(":", "."), f"seed{cell.seed}", f"steps{steps}", *hashes)
    return "-".join((cell.family.name.replace("/", "-"), *parts))


@lru_cache(maxsize=4096)
def _hashes(cell: Cell) -> tuple[str, str]:
    config = settings_of(cell, Path("-"))
    return settings_hash(config), start_hash(config)


def _stem(model: str) -> str:
    """A checkpoint's folder by its name, since the hash of its weights stands for it and paths differ by machine."""
    return Path(model).name if Path(model).is_dir() else model

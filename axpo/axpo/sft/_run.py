"""Defines a supervised fine-tuning run: its folder, its stages one after the other, and what is known at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from axpo.algorithm.seeds import derive_seed
from axpo.evaluation.evaluate import EvaluationPlan, evaluate
from axpo.records import _atomic as atomic
from axpo.records._checked_json import DamagedFileError
from axpo.records._folder import held
from axpo.records._jsonl import JsonLines
from axpo.records._manifest import check_manifest, write_manifest
from axpo.run.environments import Worlds, make_worlds
from axpo.run.locating import located, located_path
from axpo.run.policy_loading import load_settings
from axpo.run.validation import check_model
from axpo.settings.config import ConfigError, SamplingConfig
from axpo.settings.config_file import checked, read_toml, to_toml
from axpo.settings.sft import DEMONSTRATIONS, RECORDED, DemonstrationsConfig, SftConfig, StageConfig
from axpo.sft._training import EXAMPLES, LOSSES, SftDisplay, Stage, train_stage
from axpo.sft.lessons import make_lesson
from axpo.sft.lessons._recorded import Recorded
from axpo.terminal.unfailing import unfailing
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_envs.plumbing.whole_files import PARTIAL

CONFIG: Final = "config.toml"
EVALUATION: Final = "evaluation.json"
STAGE: Final = "stage-"
_OURS: Final = (CONFIG, LOSSES, EXAMPLES)
_HELD_OUT: Final = ("validation", "val", "valid", "dev", "test")


class SftRunDisplay(SftDisplay, Protocol):
    """Shows how a run gets on."""

    def note(self, text: str) -> None:
        """Called with what a user must know."""
        ...

    def stage_done(self, number: int, evaluation: Mapping[str, Any]) -> None:
        """Called when a stage is finished, with its evaluation (see `axpo.evaluation.evaluate`)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SftResult:
    """What a run left behind."""

    checkpoint: Path
    """The trained policy in Hugging Face layout."""
    evaluation: Mapping[str, Any]
    """The evaluation after the last stage."""
    seconds: float
    """Wall-clock time; stages finished before a resumption are not included."""


def run_sft(config: SftConfig, display: SftRunDisplay) -> SftResult:
    """Trains all stages. In the folder of a killed run of the same configuration, stages it had finished are kept.

    Every stage is a function of the checkpoint before it, its settings and the seed. Where no stage was finished yet,
    the settings may be others.

    Raises:
        ConfigError: a setting is unusable, or the folder holds something else than a run of this configuration.
        RunLogError: another process is training there.
        DamagedFileError: a finished stage is not what was written.
        OSError: the disk is full; finished stages are intact.
    """
    with ExitStack() as stack:
        return _run(config, unfailing(display), stack)


def _run(config: SftConfig, display: SftRunDisplay, stack: ExitStack) -> SftResult:
    started = time.monotonic()
    out = Path(config.out)
    config = _located(located(checked(config)))
    plan = stages(config)
    worlds = _worlds(config)
    lessons = [
        make_lesson(
            stage, config, None if worlds is None else worlds.training, seed=derive_seed(config.seed, "sft", number)
        )
        for number, stage in enumerate(plan, start=1)
    ]
    check_model(config.model, config.policy)
    _prepare(out, config, stack)
    model, evaluation = config.model, dict[str, Any]()
    for number, (settings, lesson) in enumerate(zip(plan, lessons, strict=True), start=1):
        done = out / f"stage-{number}"
        if not done.exists():
            policy = load_policy(model, load_settings(config.policy, seed=config.seed))
            stage = Stage(number=number, config=settings, lesson=lesson, out=out)
            if isinstance(lesson, Recorded):
                stage = _fitted(stage, lesson, policy, config.demonstrations, display)
            train_stage(policy, stage, config, display)
            _finish_stage(done, policy, config, worlds)
        _check_stage(done)
        model = str(done)
        evaluation = json.loads((done / EVALUATION).read_text(encoding="utf-8"))
        display.stage_done(number, evaluation)
    return SftResult(checkpoint=Path(model), evaluation=evaluation, seconds=time.monotonic() - started)


def _worlds(config: SftConfig) -> Worlds | None:
    if config.env == RECORDED:
        return None
    return make_worlds(config.env, config.env_args, prefer=_HELD_OUT, needed=config.eval_questions > 0)


def _located(config: SftConfig) -> SftConfig:
    own = config.demonstrations
    if own.source is None:
        return config
    return replace(config, demonstrations=replace(own, source=located_path(own.source)))


def stages(config: SftConfig) -> tuple[StageConfig, ...]:
    """The stages of a run; demonstrations without a stage of their own make one, whose `steps` their number decides.

    Raises:
        ConfigError: there are demonstrations, and stages of which none teaches them.
    """
    own = config.demonstrations
    if own.source is None or any(stage.lesson == DEMONSTRATIONS for stage in config.stages):
        return config.stages
    if config.stages != SftConfig().stages:
        raise ConfigError(
            'stages: expected one with lesson = "demonstrations", since demonstrations.source is given; got '
            f"{', '.join(stage.lesson for stage in config.stages)}"
        )
    return (StageConfig(lesson=DEMONSTRATIONS, batch=own.batch, lr=own.lr),)


def _fitted(
    stage: Stage, lesson: Recorded, policy: TransformersPolicy, own: DemonstrationsConfig, display: SftRunDisplay
) -> Stage:
    """The stage with the demonstrations that are short enough, and as many steps as their passes take."""
    fitting = lesson.fitting(policy, max_tokens=own.max_tokens)
    if left_out := len(lesson) - len(fitting):
        display.note(f"{left_out} of {len(lesson)} demonstrations have more than {own.max_tokens} tokens: left out")
    if not len(fitting):
        raise ConfigError(
            f"demonstrations.max_tokens: all {len(lesson)} demonstrations have more than {own.max_tokens}"
        )
    settings = stage.config
    if settings == StageConfig(lesson=DEMONSTRATIONS, batch=own.batch, lr=own.lr):
        steps = fitting.steps(epochs=own.epochs, batch=own.batch)
        settings = replace(settings, steps=steps, warmup_steps=round(own.warmup_share * steps))
    return replace(stage, config=settings, lesson=fitting)


def _prepare(out: Path, config: SftConfig, stack: ExitStack) -> None:
    """Makes the folder, or what a killed run left of it, ready for the first stage that is to be trained."""
    file = out / CONFIG
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out: expected a folder; {out} is a file")
    found = set() if not out.exists() else {path.name for path in out.iterdir()}
    foreign = {name for name in found if not name.startswith((PARTIAL, STAGE)) and name not in _OURS}
    finished = sorted(out.glob(f"{STAGE}*"))
    if foreign or (finished and not file.exists()):
        raise ConfigError(f"out: expected a new or empty folder, or one of an unfinished run; {out} holds other files")
    if finished and read_toml(file, SftConfig) != config:
        raise ConfigError(f"out: {out} holds a run of another configuration ({file}); choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    stack.enter_context(held(out))
    atomic.remove_unfinished(out)
    atomic.write_text(file, to_toml(config))
    log = JsonLines(out / LOSSES)
    log.keep(sum(record["stage"] <= len(finished) for record in log.read()))


def _check_stage(done: Path) -> None:
    try:
        check_manifest(done)
    except DamagedFileError as error:
        raise DamagedFileError(f"{error}. Delete the folder to train this stage and those behind it again") from error


def _finish_stage(done: Path, policy: TransformersPolicy, config: SftConfig, worlds: Worlds | None) -> None:
    with atomic.new_folder(done) as folder:
        policy.save(folder)
        record = _evaluation(policy, config, worlds) if config.eval_questions and worlds is not None else {}
        (folder / EVALUATION).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        write_manifest(folder)


def _evaluation(policy: TransformersPolicy, config: SftConfig, worlds: Worlds) -> dict[str, Any]:
    sampling = SamplingConfig(
        group_size=config.eval_samples,
        max_turn_tokens=config.max_turn_tokens,
        max_episode_tokens=config.max_episode_tokens,
    )
    plan = EvaluationPlan(questions=config.eval_questions, sampling=sampling, seed=config.seed, split=worlds.split)
    return evaluate(policy, worlds.held_out, plan).as_record()

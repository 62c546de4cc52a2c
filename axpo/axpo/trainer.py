"""Defines `train` and `resume`: the loop that samples groups, branches from prefixes and updates the policy.

Nothing that a step does depends on more than the weights, the optimizer's state and the step's number: every random
number follows from (seed, step, purpose), and the policy's caches are dropped between steps. A run that was killed
and resumed from its newest checkpoint therefore repeats, bit for bit on a CPU, what it would have done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from axpo.advantages import compute_advantages
from axpo.batching import build_batch
from axpo.callbacks import Callback, RunMoment, StopRun
from axpo.checkpoint import (
    Checkpoint,
    CheckpointError,
    Progress,
    checkpoint_folder,
    kept_folders,
    newest_checkpoint,
    prune,
    save_checkpoint,
)
from axpo.collapse import tool_collapse
from axpo.config import ConfigError, ModelConfig, TrainConfig
from axpo.config_file import read_toml, to_toml
from axpo.display import Display, open_display
from axpo.environments import Worlds, make_worlds, parse_env_args
from axpo.evaluation import EvaluationPlan, evaluate
from axpo.heartbeat import Countdown
from axpo.interrupts import Interrupts
from axpo.metrics import step_metrics
from axpo.optimizer import Optimizer
from axpo.questions import training_questions
from axpo.report import write_report
from axpo.resumption import changed, differences
from axpo.room import check_first_questions
from axpo.runlog import CHECKPOINTS, CONFIG, RunLog, RunLogError, is_checkpoint, is_sft_run
from axpo.sampling import resample, sample_groups, sampling_of
from axpo.seeds import derive_seed
from axpo.selection import select_prefixes
from axpo.starting_model import START, written
from axpo.step_record import Losses, warnings_of, work_metrics
from axpo.stopping import best_step, is_exhausted
from axpo.stopwatch import Stopwatch
from axpo.types import Group
from axpo.unfailing import UnfailingDisplay
from axpo.update import DivergenceError, Objective, seeded, update
from axpo.validation import check_new_folder, effective_selection, resolved
from axpo_agents.errors import NonFiniteError
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run left behind."""

    folder: Path
    """The run's folder."""
    metrics: tuple[dict[str, Any], ...]
    """One record per step, as in `metrics.jsonl`."""
    evaluations: tuple[dict[str, Any], ...]
    """One record per evaluation on held-out questions, as in `evaluations.jsonl`."""
    checkpoint: Path
    """The trained policy in Hugging Face layout."""
    best_checkpoint: Path | None = None
    """The policy of the evaluation with the highest `log.best_by`; None where none was asked for."""


def train(
    config: TrainConfig,
    *,
    display: Display | None = None,
    callbacks: Sequence[Callback] = (),
    model: Any = None,
    tokenizer: Any = None,
) -> RunResult:
    """Trains a policy from the beginning.

    Args:
        config: everything that decides the results.
        display: shows the run; by default live on a terminal, plain lines elsewhere.
        callbacks: called after steps, evaluations and checkpoints.
        model: where training starts, in place of `config.model`: a policy, or a model of the Transformers library. It
            stays as it is; the run writes a copy to its folder `start`, and goes on from there when it is resumed.
        tokenizer: the model's tokenizer, or its processor if it sees images; not needed with a policy.

    Raises:
        ConfigError: a setting is unusable; nothing was done yet.
        PolicyError: the model cannot be loaded, or cannot do what the environment needs.
        Interrupted: SIGINT, SIGTERM or SIGHUP arrived; a checkpoint was written, `resume` goes on from it.
        DivergenceError: loss, weights or logits are not finite; the checkpoints before are intact.
        CheckpointError, RunLogError: the disk is full or the folder cannot be written; what was written is intact.
    """
    folder = Path(config.out)
    if model is not None:
        with written(model, tokenizer, beside=folder.absolute().parent) as start:
            return _train(replace(config, model=str(start)), display, callbacks, start=start)
    return _train(config, display, callbacks)


def _train(
    config: TrainConfig, display: Display | None, callbacks: Sequence[Callback], *, start: Path | None = None
) -> RunResult:
    """Trains from `config.model`; a model that was in memory is moved from `start` into the run's folder."""
    config = resolved(config)
    folder = Path(config.out)
    check_new_folder(folder)
    worlds = _worlds_of(config)
    policy = load_policy(config.model, load_settings(config.policy, seed=config.seed))
    check_first_questions(config, worlds, policy)
    policy.forget()
    if start is not None:
        config = replace(config, model=str(folder.absolute() / START))
    audience = _Audience(UnfailingDisplay(display or open_display()), callbacks)
    with RunLog.create(folder, to_toml(config), tensorboard=config.log.tensorboard) as log:
        if start is not None:
            start.rename(folder / START)
        return _Trainer(config, worlds, policy, log, audience).run()


def resume(
    folder: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    display: Display | None = None,
    callbacks: Sequence[Callback] = (),
) -> RunResult:
    """Continues a run from its newest whole checkpoint, or from the beginning if it had none; raises as `train` does.

    Records of steps after that checkpoint are dropped, and the steps repeated.

    Args:
        folder: the run's folder.
        changes: new values of settings by dotted name, such as `{"steps": 120}`, which makes a finished run longer;
            see `axpo.resumption.CHANGEABLE`. They are written into the run's settings and recorded.
        display: shows the run; by default live on a terminal, plain lines elsewhere.
        callbacks: are told of every step, evaluation and checkpoint.
    """
    display = UnfailingDisplay(display or open_display())
    before = run_settings(folder)
    with RunLog.open(folder, tensorboard=before.log.tensorboard) as log:
        checkpoint = newest_checkpoint(folder / CHECKPOINTS, warn=display.note, sealed=log.sealed_checkpoints())
        step = 0 if checkpoint is None else checkpoint.progress.step
        if (log.last_step or 0) < step:
            raise RunLogError(f"the run {folder} has a checkpoint of step {step}, but records of {log.last_step} steps")
        config = resolved(changed(before, changes or {}, done=log.last_step or 0))
        worlds = _worlds_of(config)
        # Saving merges LoRA adapters into the weights they adapt; apart from them they are with the optimizer's state.
        model = config.model if checkpoint is None or config.policy.lora_rank else str(checkpoint.folder)
        policy = load_policy(model, load_settings(config.policy, seed=config.seed))
        log.truncate_after(step)
        if different := differences(before, config):
            log.change_config(to_toml(config), _change(step, different))
        return _Trainer(config, worlds, policy, log, _Audience(display, callbacks), checkpoint).run()


def run_settings(folder: Path) -> TrainConfig:
    """The settings of a run, with `out`, and a model that began in memory, where they are now.

    Raises:
        ConfigError: the folder is that of no training run; the message says of what else, if that can be told.
    """
    if is_checkpoint(folder):
        raise ConfigError(f"resume: {folder} is a checkpoint; its run is {folder.absolute().parent.parent}")
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"resume: {folder} is not a run folder: it has no {CONFIG}")
    if is_sft_run(folder):
        raise ConfigError(f"resume: {folder} is a supervised run, which the same `axpo sft` command goes on with")
    config = replace(read_toml(folder / CONFIG, TrainConfig), out=str(folder.absolute()))
    start = folder.absolute() / START
    return replace(config, model=str(start)) if start.is_dir() else config


def _change(step: int, different: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {"step": step, "settings": {name: {"before": b, "after": a} for name, (b, a) in different.items()}}


def _worlds_of(config: TrainConfig) -> Worlds:
    split, needed = config.log.eval_split, config.log.eval_questions > 0
    return make_worlds(config.env, config.env_args, split=split, needed=needed)


def load_settings(config: ModelConfig, *, seed: int) -> LoadSettings:
    """How a policy is loaded; the seed is that of the run and decides the initial weights of LoRA adapters."""
    options = tuple(parse_env_args(config.template_options).items())
    return LoadSettings(**{**asdict(config), "template_options": options}, seed=derive_seed(seed, "weights"))


class _Audience(NamedTuple):
    """Who is told what happens."""

    display: Display
    callbacks: Sequence[Callback] = ()


class _Trainer:
    """One run between its start (or resumption) and its end."""

    def __init__(
        self,
        config: TrainConfig,
        worlds: Worlds,
        policy: TransformersPolicy,
        log: RunLog,
        audience: _Audience,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._config = config
        self._worlds = worlds
        self._policy = policy
        self._log = log
        self._display, self._callbacks = audience
        self._interrupts = Interrupts(
            lambda: self._display.note("the step is being finished first; asked again, the run stops at once")
        )
        self._selection = effective_selection(config)
        self._optimizer = Optimizer(
            policy.trainable_parameters(),
            config.optim,
            steps=config.steps,
            keeps_weights=config.policy.lora_rank > 0,
        )
        self._progress = Progress()
        if checkpoint is not None:
            self._progress = checkpoint.progress
            self._optimizer.load_state(checkpoint.optimizer_state())
        self._reference = _reference(config, policy, resumed=checkpoint is not None)
        sampling = sampling_of(config.sampling, policy)
        self._objective = Objective(
            loss=config.loss,
            temperature=sampling.temperature,
            truncation=sampling.truncation,
            reference=self._reference,
        )
        self._history = log.steps()
        self._saved = self._progress.step
        self._torn = False
        self._doing = ""

    def run(self) -> RunResult:
        with self._interrupts.watched(), self._display:
            self._display.start(self._config, self._progress.step)
            if self._worlds.note:
                self._display.note(self._worlds.note)
            try:
                with self._may_be_ended():
                    self._make_steps()
                with self._may_be_ended():
                    self._save_if_new()
            except NonFiniteError as error:
                raise DivergenceError(
                    f"{self._doing} diverged: {error}. If the model was sound at the start, a lower optim.lr helps "
                    f"most often; the run {self._log.folder} is saved up to step {self._saved}"
                ) from error
            except BaseException as error:
                self._stop_early(asked=isinstance(error, KeyboardInterrupt))
                raise
        write_report(self._log.folder)
        return self._result()

    def _make_steps(self) -> None:
        """All steps that are left, with the evaluations and checkpoints between them."""
        log, steps = self._config.log, self._config.steps
        self._evaluate_if_due()
        while self._progress.step < steps and not self._is_exhausted():
            step = self._progress.step + 1
            self._doing = f"step {step}"
            record = self._step(step)
            for callback in self._callbacks:
                callback.after_step(self._moment(), record)
            if step % log.checkpoint_every == 0 or step == steps:
                self._save()
            self._evaluate_if_due()

    @contextmanager
    def _may_be_ended(self) -> Iterator[None]:
        """A callback that asks for the end of the run leaves the block."""
        try:
            yield
        except StopRun as reason:
            self._display.note(f"a callback ended the run after step {self._progress.step}: {reason}")

    def _step(self, step: int) -> dict[str, Any]:
        """The algorithm, from questions to updated weights (algorithm.md, "One training step"); returns its record."""
        config, policy, env = self._config, self._policy, self._worlds.training
        watch, losses = Stopwatch(self._display.phase), Losses()
        with watch.phase("environment"):
            questions = training_questions(env.questions, seed=config.seed, step=step, count=config.sampling.questions)
        with watch.phase("sampling"):
            groups = sample_groups(
                questions,
                policy,
                env,
                config.sampling,
                seed=self._seed(step, "sampling"),
                on_lost=losses.rollouts.append,
            )
        points = select_prefixes(groups, self._selection, seed=self._seed(step, "selection"))
        with watch.phase("resampling"):
            groups = resample(
                groups,
                points,
                policy,
                env,
                config.sampling,
                seed=self._seed(step, "resampling"),
                on_lost=losses.continuations.append,
            )
        with self._interrupts.deferred(), self._update_under_way():
            advantages = compute_advantages(groups, config.advantages)
            with watch.phase("update"):
                minibatches = build_batch(
                    advantages, config.loss, config.optim, plan=policy.plan, seed=self._seed(step, "batches")
                )
                lr = self._optimizer.start_step(step)
                with seeded(self._seed(step, "dropout")):
                    stats = update(policy, self._optimizer, minibatches, self._objective)
            policy.advance_version()
            policy.forget()
            if self._reference is not None:
                self._reference.forget()
            work = work_metrics(groups, stats, watch)
            return self._record(step, groups, {"lr": lr, **losses.metrics(points, groups), **work})

    def _record(self, step: int, groups: Sequence[Group], measured: Mapping[str, float | None]) -> dict[str, Any]:
        config, log = self._config, self._log
        tools = [tool.name for tool in self._worlds.training.tools]
        metrics = step_metrics(groups, tools=tools, success_threshold=config.selection.success_threshold)
        self._progress = self._progress.after(step, {**metrics, **measured})
        record: dict[str, Any] = {"step": step, **metrics, **measured, **self._progress.totals()}
        collapse = tool_collapse([*self._history, record])
        record |= {"tool_collapse": float(collapse is not None), "tool_collapse_kind": collapse}
        if config.log.rollouts_every and step % config.log.rollouts_every == 0:
            log.write_rollouts(step, groups, config.log.rollouts_per_step)
        log.append_step(record)
        for warning in warnings_of(record, self._history, questions=config.sampling.questions):
            self._display.note(warning)
        self._history.append(record)
        self._display.step(record)
        return record

    def _evaluate_if_due(self) -> None:
        step, plan = self._progress.step, self._config.log
        due = step in (0, self._config.steps) or (plan.eval_every and step % plan.eval_every == 0)
        if not plan.eval_questions or not due or any(done["step"] == step for done in self._log.evaluations()):
            return
        self._doing = f"the evaluation at step {step}"
        self._display.phase("evaluation")
        left = Countdown()
        evaluation = evaluate(
            self._policy,
            self._worlds.held_out,
            EvaluationPlan(
                questions=plan.eval_questions,
                sampling=replace(self._config.sampling, group_size=plan.eval_samples),
                success_threshold=self._config.selection.success_threshold,
                split=self._worlds.split,
            ),
            progress=lambda share: self._display.phase(f"evaluation {left(share)}"),
        )
        self._policy.forget()
        record = {"step": step, **evaluation.as_record()}
        if self._worlds.note:
            record["split_note"] = self._worlds.note
        self._log.append_evaluation(record)
        self._display.evaluation(record)
        if step > 0 and self._best_step() == step:
            self._save_if_new()
        for callback in self._callbacks:
            callback.after_evaluation(self._moment(), record)

    def _best_step(self) -> int | None:
        metric = self._config.log.best_by
        return None if metric is None else best_step(self._log.evaluations(), metric)

    def _is_exhausted(self) -> bool:
        log = self._config.log
        if log.best_by is None or not log.patience:
            return False
        done = is_exhausted(self._log.evaluations(), log.best_by, patience=log.patience)
        if done:
            self._display.note(
                f"{log.patience} evaluations in a row brought no better {log.best_by} than step {self._best_step()} "
                f"had: the run ends after step {self._progress.step}"
            )
        return done

    def _save_if_new(self) -> None:
        if self._saved < self._progress.step:
            self._save()

    def _save(self) -> None:
        self._display.phase("checkpoint")
        checkpoints = self._log.folder / CHECKPOINTS
        folder = save_checkpoint(checkpoints, self._policy, self._optimizer, self._progress, to_toml(self._config))
        kept = kept_folders(checkpoints, self._config.log.keep_checkpoints, spare=self._best_step())
        self._log.keep_checkpoints(kept)
        prune(checkpoints, kept)
        self._saved = self._progress.step
        for callback in self._callbacks:
            callback.after_checkpoint(self._moment(), folder)

    def _stop_early(self, *, asked: bool) -> None:
        """Saves what can be saved: the last finished step, unless its weights have already been changed."""
        how = "Continue with:" if asked else "Once the cause is mended, it goes on with:"
        if not self._torn:
            try:
                with self._interrupts.deferred():
                    self._save_if_new()
            except CheckpointError as error:
                self._display.note(str(error))
        self._display.note(
            f"stopped; the run is saved up to step {self._saved}. {how} axpo train --resume {self._log.folder}"
        )

    def _moment(self) -> RunMoment:
        return RunMoment(config=self._config, folder=self._log.folder, step=self._progress.step, policy=self._policy)

    @contextmanager
    def _update_under_way(self) -> Iterator[None]:
        """Remembers, should the block be left half-way, that the weights belong to no step."""
        self._torn = True
        yield
        self._torn = False

    def _seed(self, step: int, purpose: str) -> int:
        return derive_seed(self._config.seed, step, purpose)

    def _result(self) -> RunResult:
        checkpoints, best = self._log.folder / CHECKPOINTS, self._best_step()
        return RunResult(
            folder=self._log.folder,
            metrics=tuple(self._log.steps()),
            evaluations=tuple(self._log.evaluations()),
            checkpoint=checkpoint_folder(checkpoints, self._saved),
            best_checkpoint=None if best is None else checkpoint_folder(checkpoints, best),
        )


def _reference(config: TrainConfig, policy: TransformersPolicy, *, resumed: bool) -> TransformersPolicy | None:
    """The policy as it was before the first step."""
    if config.loss.kl == 0:
        return None
    if resumed and not config.policy.lora_rank:
        return load_policy(config.model, load_settings(config.policy, seed=config.seed))
    return policy.reference()

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
from typing import Any

from axpo.advantages import compute_advantages
from axpo.batching import build_batch
from axpo.checkpoint import (
    Checkpoint,
    CheckpointError,
    Progress,
    checkpoint_folder,
    newest_checkpoint,
    prune,
    save_checkpoint,
)
from axpo.config import ConfigError, ModelConfig, TrainConfig
from axpo.config_file import read_toml, to_toml
from axpo.display import Display, open_display
from axpo.environments import Worlds, make_worlds
from axpo.evaluation import EvaluationPlan, evaluate
from axpo.interrupts import Interrupts
from axpo.metrics import step_metrics, tool_collapse
from axpo.optimizer import Optimizer
from axpo.questions import training_questions
from axpo.report import write_report
from axpo.runlog import CHECKPOINTS, CONFIG, RunLog
from axpo.sampling import resample, sample_groups
from axpo.seeds import derive_seed
from axpo.selection import select_prefixes
from axpo.stopwatch import Stopwatch
from axpo.types import Group
from axpo.update import DivergenceError, Objective, UpdateStats, update
from axpo.validation import check_new_folder, effective_selection, resolved
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


def train(config: TrainConfig, *, display: Display | None = None) -> RunResult:
    """Trains a policy from the beginning.

    Args:
        config: everything that decides the results.
        display: shows the run; by default live on a terminal, plain lines elsewhere.

    Raises:
        ConfigError: a setting is unusable; nothing was done yet.
        PolicyError: the model cannot be loaded, or cannot do what the environment needs.
        Interrupted: SIGINT or SIGTERM arrived; a checkpoint was written, `resume` goes on from it.
        DivergenceError: loss or weights are no longer finite; the checkpoints before are intact.
        CheckpointError, RunLogError: the disk is full or the folder cannot be written; what was written is intact.
    """
    config = resolved(config)
    folder = Path(config.out)
    check_new_folder(folder)
    worlds = make_worlds(config.env, config.env_args)
    policy = load_policy(config.model, load_settings(config.policy, seed=config.seed))
    with RunLog.create(folder, to_toml(config), tensorboard=config.log.tensorboard) as log:
        return _Trainer(config, worlds, policy, log, display or open_display()).run()


def resume(folder: Path, *, display: Display | None = None) -> RunResult:
    """Continues a run from its newest whole checkpoint, or from the beginning if it had none; raises as `train` does.

    Records of steps after that checkpoint are dropped, and the steps repeated.
    """
    display = display or open_display()
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"resume: {folder} is not a run folder: it has no {CONFIG}")
    config = replace(resolved(read_toml(folder / CONFIG, TrainConfig)), out=str(folder))
    worlds = make_worlds(config.env, config.env_args)
    with RunLog.open(folder, tensorboard=config.log.tensorboard) as log:
        checkpoint = newest_checkpoint(folder / CHECKPOINTS, warn=display.note)
        # Saving merges LoRA adapters into the weights they adapt; apart from them they are with the optimizer's state.
        model = config.model if checkpoint is None or config.policy.lora_rank else str(checkpoint.folder)
        policy = load_policy(model, load_settings(config.policy, seed=config.seed))
        log.truncate_after(0 if checkpoint is None else checkpoint.progress.step)
        return _Trainer(config, worlds, policy, log, display, checkpoint).run()


def load_settings(config: ModelConfig, *, seed: int) -> LoadSettings:
    """How a policy is loaded; the seed is that of the run and decides the initial weights of LoRA adapters."""
    return LoadSettings(**asdict(config), seed=derive_seed(seed, "weights"))


class _Trainer:
    """One run between its start (or resumption) and its end."""

    def __init__(
        self,
        config: TrainConfig,
        worlds: Worlds,
        policy: TransformersPolicy,
        log: RunLog,
        display: Display,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._config = config
        self._worlds = worlds
        self._policy = policy
        self._log = log
        self._display = display
        self._interrupts = Interrupts(
            lambda: display.note("the step is being finished first; asked again, the run stops at once")
        )
        self._selection = effective_selection(config)
        self._optimizer = Optimizer(
            policy.trainable_parameters(), config.optim, keeps_weights=config.policy.lora_rank > 0
        )
        self._progress = Progress()
        if checkpoint is not None:
            self._progress = checkpoint.progress
            self._optimizer.load_state(checkpoint.optimizer_state())
        self._reference = _reference(config, policy, resumed=checkpoint is not None)
        self._objective = Objective(
            loss=config.loss, temperature=config.sampling.temperature, reference=self._reference
        )
        self._history = log.steps()
        self._saved = self._progress.step
        self._torn = False

    def run(self) -> RunResult:
        with self._interrupts.watched(), self._display:
            self._display.start(self._config, self._progress.step)
            try:
                self._evaluate_if_due()
                while self._progress.step < self._config.steps:
                    self._step(self._progress.step + 1)
                    self._evaluate_if_due()
            except DivergenceError as error:
                raise DivergenceError(
                    f"step {self._progress.step + 1} diverged: {error}. A lower optim.lr helps most often; the run "
                    f"{self._log.folder} is saved up to step {self._saved}"
                ) from error
            except BaseException:
                self._stop_early()
                raise
        write_report(self._log.folder)
        return self._result()

    def _step(self, step: int) -> None:
        """The algorithm, from questions to updated weights (algorithm.md, "One training step")."""
        config, policy, env = self._config, self._policy, self._worlds.training
        watch = Stopwatch(self._display.phase)
        with watch.phase("environment"):
            questions = training_questions(env.questions, seed=config.seed, step=step, count=config.sampling.questions)
        with watch.phase("sampling"):
            groups = sample_groups(questions, policy, env, config.sampling, seed=self._seed(step, "sampling"))
        points = select_prefixes(groups, self._selection, seed=self._seed(step, "selection"))
        with watch.phase("resampling"):
            groups = resample(groups, points, policy, env, config.sampling, seed=self._seed(step, "resampling"))
        with self._interrupts.deferred(), self._update_under_way():
            advantages = compute_advantages(groups, config.advantages)
            with watch.phase("update"):
                minibatches = build_batch(
                    advantages, config.loss, config.optim, plan=policy.plan, seed=self._seed(step, "batches")
                )
                lr = self._optimizer.start_step(step)
                stats = update(policy, self._optimizer, minibatches, self._objective)
            policy.advance_version()
            policy.forget()
            if self._reference is not None:
                self._reference.forget()
            self._record(step, groups, {"lr": lr, **_measured(groups, stats, watch)})
        if step % config.log.checkpoint_every == 0 or step == config.steps:
            self._save()

    def _record(self, step: int, groups: Sequence[Group], measured: Mapping[str, float | None]) -> None:
        config, log = self._config, self._log
        tools = [tool.name for tool in self._worlds.training.tools]
        metrics = step_metrics(groups, tools=tools, success_threshold=config.selection.success_threshold)
        self._progress = self._progress.after(step, {**metrics, **measured})
        record: dict[str, Any] = {"step": step, **metrics, **measured, **self._progress.totals()}
        collapsed = tool_collapse([*self._history, record])
        record["tool_collapse"] = float(collapsed)
        if config.log.rollouts_every and step % config.log.rollouts_every == 0:
            log.write_rollouts(step, groups, config.log.rollouts_per_step)
        log.append_step(record)
        if collapsed and not any(earlier["tool_collapse"] for earlier in self._history):
            self._display.note(
                f"step {step}: tool use has collapsed although acting is no worse than answering outright"
            )
        self._history.append(record)
        self._display.step(record)

    def _evaluate_if_due(self) -> None:
        step, plan = self._progress.step, self._config.log
        due = step in (0, self._config.steps) or (plan.eval_every and step % plan.eval_every == 0)
        if not plan.eval_questions or not due or any(done["step"] == step for done in self._log.evaluations()):
            return
        self._display.phase("evaluation")
        evaluation = evaluate(
            self._policy,
            self._worlds.held_out,
            EvaluationPlan(
                questions=plan.eval_questions,
                sampling=replace(self._config.sampling, group_size=plan.eval_samples),
                success_threshold=self._config.selection.success_threshold,
            ),
            progress=lambda share: self._display.phase(f"evaluation {share:.0%}"),
        )
        self._policy.forget()
        record = {"step": step, **evaluation.as_record()}
        self._log.append_evaluation(record)
        self._display.evaluation(record)

    def _save(self) -> None:
        self._display.phase("checkpoint")
        checkpoints = self._log.folder / CHECKPOINTS
        save_checkpoint(checkpoints, self._policy, self._optimizer, self._progress, to_toml(self._config))
        prune(checkpoints, self._config.log.keep_checkpoints)
        self._saved = self._progress.step

    def _stop_early(self) -> None:
        """Saves what can be saved: the last finished step, unless its weights have already been changed."""
        if not self._torn and self._progress.step > self._saved:
            try:
                with self._interrupts.deferred():
                    self._save()
            except CheckpointError as error:
                self._display.note(str(error))
        self._display.note(
            f"stopped; the run is saved up to step {self._saved}. Continue with: axpo train --resume {self._log.folder}"
        )

    @contextmanager
    def _update_under_way(self) -> Iterator[None]:
        """Remembers, should the block be left half-way, that the weights belong to no step."""
        self._torn = True
        yield
        self._torn = False

    def _seed(self, step: int, purpose: str) -> int:
        return derive_seed(self._config.seed, step, purpose)

    def _result(self) -> RunResult:
        return RunResult(
            folder=self._log.folder,
            metrics=tuple(self._log.steps()),
            evaluations=tuple(self._log.evaluations()),
            checkpoint=checkpoint_folder(self._log.folder / CHECKPOINTS, self._saved),
        )


def _measured(groups: Sequence[Group], stats: UpdateStats, watch: Stopwatch) -> dict[str, float | None]:
    """What the update did, and how the time was spent.

    `seconds_sampling` and `seconds_resampling` hold the execution of tools, which `seconds_environment` counts again
    beside the drawing of questions; `seconds_update` is without `seconds_reference`. `prefix_sharing` is how many times
    fewer tokens went through the model than the trained sequences have.
    """
    watch.add("environment", sum(map(_tool_seconds, groups)))
    watch.add("update", -stats.seconds_reference)
    watch.add("reference", stats.seconds_reference)
    counts = {
        "trained_tokens": float(stats.totals.tokens),
        "scored_tokens": float(stats.scored_tokens),
        "prefix_sharing": stats.sequence_tokens / stats.scored_tokens if stats.scored_tokens else None,
    }
    return {**stats.metrics(), **counts, **watch.metrics()}


def _tool_seconds(group: Group) -> float:
    """Time spent executing tools, also where calls were executed side by side."""
    turns = [turn for rollout in group.rollouts for turn in rollout.episode.turns]
    for branch in group.branches:
        turns += [turn for c in branch.continuations for turn in c.episode.turns[branch.point.turn :]]
    return sum(call.result.seconds for turn in turns for call in turn.calls)


def _reference(config: TrainConfig, policy: TransformersPolicy, *, resumed: bool) -> TransformersPolicy | None:
    """The policy as it was before the first step."""
    if config.loss.kl == 0:
        return None
    if resumed and not config.policy.lora_rank:
        return load_policy(config.model, load_settings(config.policy, seed=config.seed))
    return policy.reference()

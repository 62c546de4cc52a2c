"""Defines `TrainingRun`: the loop of steps, evaluations and checkpoints between a run's start and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from axpo.algorithm.step import train_step
from axpo.algorithm.types import Group
from axpo.algorithm.update import DivergenceError
from axpo.distributed.errors import PeerError
from axpo.records._folder import CHECKPOINTS
from axpo.run._beginning import RunParts
from axpo.run._checkpoint import (
    CheckpointContent,
    CheckpointError,
    Progress,
    checkpoint_folder,
    kept_folders,
    prune,
    save_checkpoint,
)
from axpo.run._evaluations import RunEvaluations
from axpo.run._following import RunRecords
from axpo.run._rank_interrupts import interrupts_of
from axpo.run._recording import StepRecorder
from axpo.run._run_result import RunResult
from axpo.run._sampling_ahead import SamplingAhead, write_ahead
from axpo.run._step_record import step_measures
from axpo.run._stopwatch import Stopwatch
from axpo.run.callbacks import Callback, RunMoment, StopRun
from axpo.run.display import Display
from axpo.settings.config_file import to_toml
from axpo_agents.errors import NonFiniteError


class Audience(NamedTuple):
    """Who is told what happens."""

    display: Display
    callbacks: Sequence[Callback] = ()


class TrainingRun:
    """One run between its start (or resumption) and its end.

    Args:
        parts: what is trained, on what, and how.
        log: the records of the steps that are done; on the first process the run's folder.
        audience: who is told.
        progress: how far the run is.
    """

    def __init__(self, parts: RunParts, log: RunRecords, audience: Audience, progress: Progress) -> None:
        self._parts = parts
        self._ranks = parts.ranks
        self._config = parts.config
        self._log = log
        self._display, self._callbacks = audience
        self._evaluations = RunEvaluations(parts, log, self._display)
        self._interrupts = interrupts_of(
            parts.ranks,
            lambda: self._display.note("the step is being finished first; asked again, the run stops at once"),
        )
        self._progress = progress
        self._recorder = StepRecorder(parts, log, self._display)
        self._saved = progress.step
        self._torn = False
        self._doing = ""
        self._ahead: SamplingAhead | None = None

    def run(self) -> RunResult:
        """Makes the steps that are left.

        Raises:
            Interrupted: SIGINT, SIGTERM or SIGHUP arrived; what was finished is saved.
            DivergenceError: loss, weights or logits are not finite; the checkpoints before are intact.
            CheckpointError, RunLogError: the disk is full or the folder cannot be written; what was written is intact.
        """
        with self._interrupts.watched(), self._display:
            self._display.start(self._config, self._progress.step)
            if self._ranks.count > 1:
                self._display.note(f"{self._ranks.count} processes train as one ({self._config.ranks.strategy})")
            for note in filter(None, (self._parts.worlds.note, self._parts.note)):
                self._display.note(note)
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
                self._stop_early(error)
                raise
        return self._result()

    def _make_steps(self) -> None:
        """All steps that are left, with the evaluations and checkpoints between them."""
        log, steps = self._config.log, self._config.steps
        self._evaluate_if_due()
        with self._sampling_ahead():
            while self._progress.step < steps and not self._is_exhausted() and not self._has_collapsed():
                step = self._progress.step + 1
                self._doing = f"step {step}"
                record = self._step(step)
                self._tell(partial(_after_step, record))
                if step % log.checkpoint_every == 0 or step == steps:
                    if self._ahead is not None and step < steps:
                        # The next step's rollouts belong to the checkpoint: of younger weights they would be others.
                        self._ahead.wait_for(step + 1)
                    self._save()
                self._evaluate_if_due()

    @contextmanager
    def _sampling_ahead(self) -> Iterator[None]:
        """Later steps are sampled while the block runs, in asynchronous training."""
        if not self._config.max_staleness:
            yield
            return
        steps = range(self._progress.step + 1, self._config.steps + 1)
        self._ahead = SamplingAhead(self._parts.training, steps, self._parts.ahead, self._ranks)
        with self._ahead:
            yield

    def _tell(self, tell: Callable[[Callback, RunMoment], None]) -> None:
        """Calls the callbacks, which only the first process has; what one of them decides holds for all processes."""
        moment = self._moment()

        def told() -> str | None:
            try:
                for callback in self._callbacks:
                    tell(callback, moment)
            except StopRun as reason:
                return str(reason)
            return None

        reason = self._ranks.first(told)
        if reason is not None:
            raise StopRun(reason)

    @contextmanager
    def _may_be_ended(self) -> Iterator[None]:
        """A callback that asks for the end of the run leaves the block."""
        try:
            yield
        except StopRun as reason:
            self._display.note(f"a callback ended the run after step {self._progress.step}: {reason}")

    def _step(self, step: int) -> dict[str, Any]:
        """One step of the algorithm, and its record."""
        watch = Stopwatch(self._display.phase)
        with ExitStack() as until_recorded:

            def before_update() -> None:
                until_recorded.enter_context(self._interrupts.deferred())
                until_recorded.enter_context(self._update_under_way())

            if self._ahead is None:
                outcome = train_step(self._parts.training, step, phase=watch.phase, before_update=before_update)
            else:
                with watch.phase("waiting"):
                    self._ahead.wait_for(step)
                before_update()
                outcome = self._ahead.learn(step, phase=watch.phase)
            return self._record(step, outcome.groups, step_measures(outcome, watch))

    def _record(self, step: int, groups: Sequence[Group], measured: Mapping[str, float | None]) -> dict[str, Any]:
        metrics, parts = self._recorder.diagnosed(groups)
        self._progress = self._progress.after(step, {**metrics, **measured})
        return self._recorder.add({"step": step, **metrics, **parts, **measured, **self._progress.totals()}, groups)

    def _evaluate_if_due(self) -> None:
        step = self._progress.step
        if not self._evaluations.is_due(step):
            return
        self._doing = f"the evaluation at step {step}"
        record = self._evaluations.make(step, self._ahead)
        if step > 0 and self._evaluations.best_step() == step:
            self._save_if_new()
        self._tell(lambda callback, moment: callback.after_evaluation(moment, record))

    def _is_exhausted(self) -> bool:
        done = self._evaluations.are_exhausted()
        if done:
            log = self._config.log
            self._display.note(
                f"{log.patience} evaluations in a row brought no better {log.best_by} than step "
                f"{self._evaluations.best_step()} had: the run ends after step {self._progress.step}"
            )
        return done

    def _has_collapsed(self) -> bool:
        last = self._recorder.last
        done = self._config.log.stop_on_collapse and bool(last.get("tool_collapse"))
        if done:
            self._display.note(
                f"tool use has collapsed ({last['tool_collapse_kind']}), and log.stop_on_collapse is on: the run ends "
                f"after step {self._progress.step}"
            )
        return done

    def _save_if_new(self) -> None:
        if self._saved < self._progress.step:
            self._save()

    def _save(self) -> None:
        checkpoints, training = self._log.folder / CHECKPOINTS, self._parts.training
        self._display.phase("checkpoint")
        self._parts.assemble()
        state = training.optimizer.state()
        memory = training.memory if self._config.replay.steps else None

        def saved() -> None:
            content = CheckpointContent(
                policy=self._parts.policy,
                optimizer=state,
                progress=self._progress,
                config_toml=to_toml(self._config),
                memory=memory,
                ahead=None if self._ahead is None else write_ahead(self._ahead),
            )
            save_checkpoint(checkpoints, content)
            kept = kept_folders(checkpoints, self._config.log.keep_checkpoints, spare=self._evaluations.best_step())
            self._log.keep_checkpoints(kept)
            prune(checkpoints, kept)

        self._ranks.first(saved)
        self._saved = self._progress.step
        folder = checkpoint_folder(checkpoints, self._saved)
        self._tell(lambda callback, moment: callback.after_checkpoint(moment, folder))

    def _stop_early(self, error: BaseException) -> None:
        """Saves what can be saved: the last finished step, unless its weights have already been changed, or other
        processes that it takes to save it are elsewhere."""
        asked = isinstance(error, KeyboardInterrupt)
        how = "Continue with:" if asked else "Once the cause is mended, it goes on with:"
        if not self._torn and self._ranks.left_together(error):
            try:
                with self._interrupts.deferred():
                    self._save_if_new()
            except (CheckpointError, PeerError) as problem:
                self._display.note(str(problem))
        self._display.note(
            f"stopped; the run is saved up to step {self._saved}. {how} axpo train --resume {self._log.folder}"
        )

    def _moment(self) -> RunMoment:
        self._parts.assemble()
        return RunMoment(
            config=self._config, folder=self._log.folder, step=self._progress.step, policy=self._parts.policy
        )

    @contextmanager
    def _update_under_way(self) -> Iterator[None]:
        """Remembers, should the block be left half-way, that the weights belong to no step."""
        self._torn = True
        yield
        self._torn = False

    def _result(self) -> RunResult:
        checkpoints, best = self._log.folder / CHECKPOINTS, self._evaluations.best_step()
        return RunResult(
            folder=self._log.folder,
            metrics=tuple(self._log.steps()),
            evaluations=tuple(self._log.evaluations()),
            checkpoint=checkpoint_folder(checkpoints, self._saved),
            best_checkpoint=None if best is None else checkpoint_folder(checkpoints, best),
        )


def _after_step(record: Mapping[str, Any], callback: Callback, moment: RunMoment) -> None:
    callback.after_step(moment, record)

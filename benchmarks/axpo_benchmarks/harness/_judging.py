"""Defines `open_judge`, what decides where rules do not, and `CachedJudge`, a judge behind a server with a memory.

An answer that the rules cannot decide is told to a chat model by `axpo_envs.rewards.llm_judge`: without images, and
with tags that the answer cannot close. What it said stands in a file of the evaluation, so that an evaluation that goes
on, or is scored again, asks of no answer twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import Judged
from axpo.settings.config import ConfigError
from axpo_benchmarks.scorers import Judge, Verdict
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.extras import MissingExtraError
from axpo_envs.plumbing.named_object import load_named
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.types import EpisodeState, Question

if TYPE_CHECKING:
    from axpo_envs.rewards.llm_judge import LLMJudge


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedJudge:
    """A judge, and what provenance calls it."""

    name: str
    """`package.module:name`, or model and hash of what it is told: equal names judge alike."""
    judge: Judge
    """Decides."""


class CachedJudge:
    """A chat model whose verdicts are kept in a file. Threads may share it.

    A judgement that could not be read is remembered in this process alone: another one asks again.

    Args:
        model: is asked.
        folder: the evaluation that holds what it said.
    """

    def __init__(self, model: LLMJudge, folder: EvaluationFolder) -> None:
        self.name = f"{model.model}, prompt {model.prompt_hash}"
        self._model = model
        self._folder = folder
        self._lock = Lock()
        self._known: dict[str, bool | None] | None = None

    def __call__(self, question: Question, answer: str) -> bool | None:
        """Whether the answer is right; None where the model gives no verdict.

        Raises:
            InfrastructureFault: the server stays unreachable.
            EnvConfigError: it refuses the key, or does not know the model.
            DamagedFileError: the file was changed.
        """
        from axpo_envs.rewards.llm_judge import NoVerdictFault

        code = digest_of(self.name, question.text, question.answers, answer)
        with self._lock:
            known = self._read()
            if code in known:
                return known[code]
        try:
            (term,) = self._model(question, answer, EpisodeState(question=question, seed=0))
        except NoVerdictFault:
            known[code] = None
            return None
        right = term.value == 1.0
        with self._lock:
            if known.get(code) is None:
                self._folder.add_judgement(
                    code, right=right, judge=self.name, question=question.id, answer=well_formed(answer)
                )
            known[code] = right
        return right

    def _read(self) -> dict[str, bool | None]:
        if self._known is None:
            self._known = {**self._folder.judgements()}
        return self._known


@contextmanager
def open_judge(
    judge: str | None, model: str | None, key_variable: str | None, *, folder: EvaluationFolder
) -> Iterator[NamedJudge | None]:
    """Makes ready what decides where rules do not; nothing is asked yet.

    Args:
        judge: `package.module:name`, or the address of a server; None for rules alone.
        model: with an address, the model's name there.
        key_variable: with an address, the environment variable that holds its key.
        folder: the evaluation's, which holds what the judge said.

    Raises:
        ConfigError: the judge is not found, or a setting is missing, unusable or of no effect.
        MissingExtraError: the extra `search` is not installed.
    """
    if judge is None or not judge.startswith(("http://", "https://")):
        for name, value in (("judge_model", model), ("judge_key_variable", key_variable)):
            if value is not None:
                raise ConfigError(f"{name}: expected the address of a server as judge beside it; got judge {judge!r}")
        yield None if judge is None else NamedJudge(name=judge, judge=_loaded(judge))
        return
    if model is None:
        raise ConfigError(f"judge_model: expected the model's name at the judge {judge}; got none")
    asked = _asked(judge, model, key_variable)
    try:
        cached = CachedJudge(asked, folder)
        yield NamedJudge(name=cached.name, judge=cached)
    finally:
        asked.service.close()


def _loaded(name: str) -> Judge:
    try:
        found: Judge = load_named(name, "judge")
    except EnvConfigError as error:
        raise ConfigError(str(error)) from error
    if not callable(found):
        raise ConfigError(f"judge: expected a function of question and answer; got {name}")
    return found


def _asked(url: str, model: str, key_variable: str | None) -> LLMJudge:
    # The package httpx is an extra.
    from axpo_envs.rewards.llm_judge import LLMJudge

    try:
        return LLMJudge(url=url, model=model, key_variable=key_variable)
    except MissingExtraError:
        raise
    except EnvConfigError as error:
        raise ConfigError(f"judge: {error}") from error


def judged_by(verdict: Verdict) -> Judged:
    """A verdict as records hold it."""
    return Judged(
        outcome=verdict.outcome.value,
        reason=verdict.reason,
        score=verdict.score,
        cut=verdict.cut,
        rule=None if verdict.rule is None else verdict.rule.value,
        judge=None if verdict.judge is None else verdict.judge.value,
    )

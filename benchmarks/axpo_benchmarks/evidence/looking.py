"""Defines `HeldOutQuestions`, the evaluations of a cell's policy: drawn once, asked at three settings of sampling."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from axpo.algorithm.questions import held_out_questions
from axpo.evaluation.evaluate import Evaluation, EvaluationPlan, evaluate
from axpo.probes import ProbeConfig, ProbeName, Sources, probe
from axpo.run.environments import make_worlds
from axpo.settings.config import SamplingConfig, TrainConfig
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_benchmarks.evidence.cells import Looks
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.types import Question

SAMPLED: Final = "sampled"
"""Temperature 1, as in training."""
GREEDY: Final = "greedy"
"""The most probable tokens."""
PAPER: Final = "paper"
"""The paper's settings: temperature 0.7, top-p 0.8, top-k 20 (its presence penalty of 1.5 is left out)."""

_AT_A_TIME: Final = 64
_PROBED: Final = 8
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class HeldOutQuestions:
    """A family's held-out questions, kept once drawn, and what policies make of them.

    Args:
        config: the settings of the cell's run.
        looks: how many questions, and how often.
    """

    def __init__(self, config: TrainConfig, looks: Looks) -> None:
        worlds = make_worlds(config.env, config.env_args, split=config.log.eval_split)
        self._config, self._looks, self._split = config, looks, worlds.split
        source = worlds.held_out.questions
        self._env = worlds.held_out.asking(_Kept(source, held_out_questions(source, looks.questions)))

    def evaluate(self, policy: TransformersPolicy, *, briefly: bool = False) -> list[dict[str, Any]]:
        """One record per setting of sampling, the most telling first; briefly, at temperature 1 alone."""
        policy.forget()
        settings = list(self._settings())[: 1 if briefly else None]
        return [self._one(policy, name, sampling) for name, sampling in settings]

    def probe(self, policy: TransformersPolicy) -> dict[str, Any]:
        """What Proposition 1 is about, at temperature 1: q, p_tool, and of each prefix how often its resamples succeed.

        A prefix is the thinking of the first failed tool-using rollout of a question, among 8.
        """
        config = ProbeConfig(
            probes=(ProbeName.DIVERSITY,), resamples=self._looks.probe_resamples, sources=Sources.FAILED
        )
        sampling = replace(self._config.sampling, questions=_AT_A_TIME, group_size=_PROBED)
        found = probe(policy, self._env, self._plan(sampling), config)
        policy.forget()
        prefixes = [question["diversity"] for question in found.questions if "diversity" in question]
        value = {name: None if one is None else round(one.value, 4) for name, one in found.metrics.items()}
        return {
            "questions": len(found.questions),
            "samples": _PROBED,
            "q": value["tool_attempt_rate"],
            "p_tool": value["tool_pass1"],
            "p_no_tool": value["no_tool_pass1"],
            "resamples": config.resamples,
            "right": [prefix["right"] for prefix in prefixes if prefix["resamples"] == config.resamples],
        }

    def _plan(self, sampling: SamplingConfig) -> EvaluationPlan:
        return EvaluationPlan(
            questions=self._looks.questions,
            sampling=sampling,
            success_threshold=self._config.success_threshold,
            split=self._split,
        )

    def _settings(self) -> Iterator[tuple[str, SamplingConfig]]:
        looks, base = self._looks, replace(self._config.sampling, questions=_AT_A_TIME)
        yield SAMPLED, replace(base, group_size=looks.samples)
        if looks.greedy:
            yield GREEDY, replace(base, group_size=1, temperature=0.0)
        if looks.paper_samples:
            yield PAPER, replace(base, group_size=looks.paper_samples, temperature=0.7, top_p=0.8, top_k=20)

    def _one(self, policy: TransformersPolicy, name: str, sampling: SamplingConfig) -> dict[str, Any]:
        begun = time.process_time()
        found = evaluate(policy, self._env, self._plan(sampling))
        policy.forget()
        return {
            "sampling": name,
            "split": self._split,
            "questions": found.questions,
            "samples": sampling.group_size,
            "tokens": found.tokens,
            "cpu_seconds": round(time.process_time() - begun, 2),
            "metrics": {name: rounded_interval(metric) for name, metric in found.as_record()["metrics"].items()},
            "right": _right(found),
        }


def rounded_interval(metric: Mapping[str, Any]) -> list[float | None] | None:
    """Value, lower and upper end, to four places; None where nothing was counted."""
    if metric["value"] is None:
        return None
    return [None if metric[name] is None else round(metric[name], 4) for name in ("value", "low", "high")]


def _right(found: Evaluation) -> str:
    """How often each question was solved: a digit a question, in the order of the split."""
    return "".join(_DIGITS[solved.right] for solved in found.solved)


class _Kept:
    """The first questions of another source, drawn once."""

    def __init__(self, source: QuestionSource, questions: tuple[Question, ...]) -> None:
        self._fingerprint, self._questions = source.fingerprint, questions

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def size(self) -> int:
        return len(self._questions)

    def question(self, index: int) -> Question:
        return self._questions[index]

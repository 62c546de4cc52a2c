"""Defines `ScorerReward`, a benchmark's scorer as the reward of an environment, and `response_of`, what it scores."""

from __future__ import annotations

from dataclasses import dataclass

from axpo_benchmarks.scorers import Scorer, Verdict, score_response
from axpo_envs.types import EpisodeState, Question, RewardTerm, StopReason


def response_of(last_turn: str, stop: StopReason | None) -> str | None:
    """What of an episode is scored: its last turn; None where that one asked for a further call, which is no answer.

    Args:
        last_turn: the text of the last turn.
        stop: why the episode ended.
    """
    return None if stop is StopReason.MAX_TURNS else last_turn


@dataclass(frozen=True, slots=True)
class ScorerReward:
    """What the scorer's verdict on the last turn is worth, 0 to 1, as the term `score`."""

    scorer: Scorer
    """Scores responses; a turn that a token limit cut is worth 0 whatever it holds."""

    def verdict(self, question: Question, last_turn: str, stop: StopReason | None) -> Verdict:
        """The verdict on an episode.

        Args:
            question: what was asked.
            last_turn: the text of its last turn.
            stop: why it ended.
        """
        cut = stop is StopReason.MAX_TOKENS
        return score_response(self.scorer, question, response_of(last_turn, stop), cut=cut)

    def __call__(self, question: Question, _answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term."""
        text = state.turns[-1].text if state.turns else ""
        return (RewardTerm(name="score", value=self.verdict(question, text, state.stop).score),)

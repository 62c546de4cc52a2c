"""Defines the orderings of AXPO's paper (arXiv:2605.28774) that rows can confirm or not, with the paper's own figures.

The figures are averages of Pass@1 and Pass@4 in per cent at 8B: those of nine benchmarks for AXPO against GRPO, those
of four (MathVision, V*, VisualProbe, HR-MMSearch) for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo_benchmarks.evidence.comparing import Point, equal_work


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That one arm has more of something than another."""

    text: str
    """What is claimed, in plain words."""
    more: Point
    """Has more."""
    less: Point
    """Has less."""
    metric: str = "pass1"
    """Of what."""
    paper: str = ""
    """The paper's figures for both; empty where it has none."""


_AXPO: Final = Point(arm="axpo")
_GRPO: Final = Point(arm="grpo")
_EQUAL: Final = equal_work("grpo")


def _ablation(arm: str, text: str, paper: str) -> Claim:
    return Claim(text=f"AXPO beats itself {text}", more=_AXPO, less=Point(arm=arm), paper=f"53.9 / {paper}")


CLAIMS: Final = (
    Claim(text="AXPO beats GRPO after as many steps", more=_AXPO, less=_GRPO, paper="62.3 / 60.5"),
    Claim(text="the same of Pass@4", more=_AXPO, less=_GRPO, metric="pass4", paper="75.8 / 74.0"),
    Claim(text="AXPO calls tools more often than GRPO", more=_AXPO, less=_GRPO, metric="tool_attempt_rate"),
    Claim(
        text="fewer of AXPO's tool-using subgroups are all wrong",
        more=_GRPO,
        less=_AXPO,
        metric="all_wrong_tool_subgroups",
    ),
    Claim(text="AXPO beats GRPO with as many rollouts", more=_AXPO, less=_EQUAL["rollouts"]),
    Claim(text="AXPO beats GRPO with as many tokens", more=_AXPO, less=_EQUAL["tokens"]),
    Claim(text="AXPO beats GRPO with as much processor time", more=_AXPO, less=_EQUAL["processor time"]),
    Claim(text="AXPO beats GRPO with 10 rollouts per question", more=_AXPO, less=Point(arm="grpo_n10")),
    Claim(text="AXPO beats GRPO with twice the rollouts", more=_AXPO, less=Point(arm="grpo_n16"), paper="53.9 / 52.4"),
    _ablation("axpo_no_prefix_credit", "without prefix credit", "51.4"),
    _ablation("axpo_random", "with random ranking", "51.0"),
    _ablation("axpo_joint_groups", "without separate groups", "51.2"),
    _ablation("axpo_scratch", "resampling from scratch", "52.1"),
    _ablation("axpo_no_tool", "resampling no-tool rollouts", "51.7"),
    Claim(text="GRPO beats a penalty on calls", more=_GRPO, less=Point(arm="tool_penalty"), paper="51.9 / 46.0"),
    Claim(text="GRPO beats a bonus for calls", more=_GRPO, less=Point(arm="tool_bonus"), paper="51.9 / 50.8"),
    Claim(text="GRPO beats CISPO", more=_GRPO, less=Point(arm="cispo"), paper="51.9 / 47.8"),
    Claim(text="GRPO beats RLTF", more=_GRPO, less=Point(arm="rltf"), paper="51.9 / 43.3"),
    Claim(text="AXPO beats ARPO", more=_AXPO, less=Point(arm="arpo"), paper="53.9 / 51.3"),
)
"""In the order of the report."""

VERDICTS: Final = {"more": "holds", "less": "the reverse holds", "open": "open"}
"""What an interval over seeds says of a claim: beyond zero on its side, beyond it on the other, or holding it."""

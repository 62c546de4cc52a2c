"""Defines `axpo/Agentic-v0`: Python, search and zooming on every question, any of them free, as in AXPO's paper."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.search import SearchBackend
from axpo_envs.env import ToolEnv
from axpo_envs.parsing import AnswerFormat
from axpo_envs.plumbing.knobs import knobs_of, settings_from
from axpo_envs.questions import load_questions
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.questions.splits import Split
from axpo_envs.rewards import Reward, answer_problem, describe_reward, make_reward
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.agentic._families import FAMILIES
from axpo_envs.suite.agentic.questions import MixedQuestions, Part, RewardByFamily
from axpo_envs.suite.agentic.settings import AgenticSettings
from axpo_envs.suite.multi_hop_search import MultiHopSearch, MultiHopSearchSettings
from axpo_envs.suite.multi_hop_search._corpus import Style, write_corpus
from axpo_envs.suite.multi_hop_search.questions import corpus_of
from axpo_envs.tool.protocol import Tool
from axpo_envs.tools.paper_set import IMAGE_CAPTION, IMAGE_NUMBERS, PAPER_NAMES, PAPER_SEARCH, paper_python, paper_tools
from axpo_envs.types import Question

ENV_ID: Final = "axpo/Agentic-v0"
"""Gymnasium id."""

_INSTRUCTIONS: Final = """\
Answer the question. You may use three tools, each of them or none, in up to {max_turns} turns: python computes, reads \
images and draws; search finds documents; image_zoom_in shows a region of an image with all of its detail. {numbers} \
Write a call as
<tool_call>
{{"name": "python", "arguments": {{"code": "..."}}}}
</tool_call>
When you know the answer, or have to guess, write it alone in a box between answer tags: \
<answer>\\boxed{{...}}</answer>"""


class Agentic(ToolEnv):
    """Answer questions of several kinds with Python, a search and zooming, or without any of them.

    Args:
        render_mode: as in Gymnasium.
        knobs: the fields of `AgenticSettings`.

    Raises:
        EnvConfigError: a knob is unknown or unusable, or no sandbox can be set up here.
        MissingExtraError: a package that a family or the library needs is not installed.
        InfrastructureFault: the library or its index cannot be written.
    """

    def __init__(self, *, render_mode: str | None = None, **knobs: Any) -> None:
        settings = settings_from(AgenticSettings, "Agentic", knobs)
        self._settings = settings
        # The family whose own tool it is takes it, too: a second sandbox would run idle.
        python = paper_python() if settings.python is None else settings.python
        self._families = _families_of(settings, python)
        self._mixed = _mixed(settings, self._families) if self._families else None
        questions, reward = _asked(settings, self._mixed, self._families, python)
        spec = ToolEnvSpec(
            env_id=ENV_ID,
            questions=questions,
            tools=paper_tools(self._backend(), view_size=settings.view_size, python=python),
            reward=reward,
            instructions=_INSTRUCTIONS.format(max_turns=settings.max_turns, numbers=IMAGE_NUMBERS),
            max_turns=settings.max_turns,
            answers=AnswerFormat.BOXED_TAG,
            view_size=settings.view_size,
            image_caption=IMAGE_CAPTION,
            settings=() if self._families else (("reward", describe_reward(reward)),),
        )
        super().__init__(settings.governance.over(spec), render_mode=render_mode)

    @property
    def settings(self) -> AgenticSettings:
        """The knobs."""
        return self._settings

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs as keyword arguments that make the same environment again."""
        return knobs_of(self._settings)

    @property
    def families(self) -> dict[str, ToolEnv]:
        """The environments whose questions are mixed, by family; they hold the truth behind their questions."""
        return dict(self._families)

    def origin_of(self, question: Question) -> tuple[str, Question]:
        """The family of a question, and the question as that family's environment knows it, for experts.

        Raises:
            ValueError: the question is from an environment with other settings, or one of the user's own.
        """
        if self._mixed is None:
            raise ValueError(f"expected a question of a family; got {question.id!r}, which is one of the user's own")
        return self._mixed.origin_of(question)

    def _backend(self) -> SearchBackend:
        given = self._settings.search
        return replace(PAPER_SEARCH, own=self._library).backend_of("bm25" if given is None else given)

    def _library(self) -> Path:
        hops = self._families.get("multi_hop_search")
        if isinstance(hops, MultiHopSearch):
            return hops.write_corpus()
        text, _ = corpus_of(MultiHopSearchSettings().corpus_size, Style.FULL)
        return write_corpus(text)


def _families_of(settings: AgenticSettings, python: Tool) -> dict[str, ToolEnv]:
    shared = {
        "split": settings.split,
        "held_out": settings.held_out,
        "max_turns": max(1, settings.max_turns),
        "view_size": settings.view_size,
        "python": python,
    }
    return {name: FAMILIES[name].make(shared, settings.family_knobs.get(name, {})) for name in settings.families}


def _mixed(settings: AgenticSettings, families: dict[str, ToolEnv]) -> MixedQuestions:
    parts = (
        Part(family=name, weight=settings.families[name], questions=env.questions) for name, env in families.items()
    )
    return MixedQuestions(Split(settings.split), settings.held_out, tuple(parts))


def _asked(
    settings: AgenticSettings, mixed: MixedQuestions | None, families: dict[str, ToolEnv], python: Tool
) -> tuple[QuestionSource, Reward]:
    """The questions, and what scores their answers."""
    if mixed is not None:
        return mixed, RewardByFamily({name: env.rules.reward for name, env in families.items()})
    reward = make_reward("exact_match" if settings.reward is None else settings.reward)
    # Rows without splits are those of training.
    split = None if settings.split == Split.TRAIN else settings.split
    tools = (python.name, *PAPER_NAMES)
    check = partial(answer_problem, reward)
    return load_questions(settings.questions, split=split, check=check, tools=tools), reward

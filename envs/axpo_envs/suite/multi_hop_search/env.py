"""Defines `axpo/MultiHopSearch-v0`: questions that take several documents, each of which says what to look for next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.search import SearchBackend
from axpo_envs.backends.search._search_setting import SearchSetting
from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.knobs import knobs_of, settings_from
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.multi_hop_search._corpus import Style, write_corpus
from axpo_envs.suite.multi_hop_search._graph import FactGraph
from axpo_envs.suite.multi_hop_search._plan import Plan
from axpo_envs.suite.multi_hop_search.questions import HopQuestions, corpus_of
from axpo_envs.suite.multi_hop_search.settings import MultiHopSearchSettings
from axpo_envs.tool.protocol import Tool
from axpo_envs.tools.open_document import OpenDocument
from axpo_envs.tools.search import Search
from axpo_envs.types import Question

ENV_ID: Final = "axpo/MultiHopSearch-v0"
"""Gymnasium id."""

_INSTRUCTIONS: Final = """\
Answer the question from the documents of a library. No single document answers it: what one tells, you look up in \
another. Search with a few words, such as a name or a code that you know. Calls may be made in up to {max_turns} \
turns. Write a call as
<tool_call>
{{"name": "search", "arguments": {{"query": "..."}}}}
</tool_call>
When you know the answer, write it alone, as the document has it (a number as a whole number without unit), between \
answer tags: <answer>...</answer>"""


class MultiHopSearch(ToolEnv):
    """Find what several documents tell only together, by searching for one after the other.

    Args:
        render_mode: as in Gymnasium.
        knobs: the fields of `MultiHopSearchSettings`.

    Raises:
        EnvConfigError: a knob is unknown or unusable.
        MissingExtraError: a package of the extra `data` is not installed.
        InfrastructureFault: the corpus or its index cannot be written.
    """

    def __init__(self, *, render_mode: str | None = None, **knobs: Any) -> None:
        settings = settings_from(MultiHopSearchSettings, "MultiHopSearch", knobs)
        self._settings = settings
        self._hops = HopQuestions(settings.questions)
        self._backend = SearchSetting(own=self.write_corpus).backend_of(settings.search)
        spec = ToolEnvSpec(
            env_id=ENV_ID,
            questions=self._hops,
            tools=_tools(self._backend, settings),
            reward=ExactMatch(),
            instructions=_INSTRUCTIONS.format(max_turns=settings.max_turns),
            max_turns=settings.max_turns,
        )
        super().__init__(settings.governance.over(spec), render_mode=render_mode)

    @property
    def settings(self) -> MultiHopSearchSettings:
        """The knobs."""
        return self._settings

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs as keyword arguments that make the same environment again."""
        return knobs_of(self._settings)

    @property
    def backend(self) -> SearchBackend:
        """What the tools ask."""
        return self._backend

    @property
    def graph(self) -> FactGraph:
        """The facts behind the corpus."""
        return self._hops.graph

    @property
    def favourites(self) -> Mapping[str, str]:
        """The best guess for each of the relations that the knob `answers` names."""
        return self._hops.favourites

    def plan_of(self, question: Question) -> Plan:
        """The truth behind a question, for experts and diagnostics: which documents it takes, and what they tell.

        Raises:
            ValueError: the question is from an environment with other settings.
        """
        return self._hops.plan_of(question)

    def write_corpus(self) -> Path:
        """The file of the corpus, one document a line, in the user's cache folder: to serve it, or to index it.

        Raises:
            InfrastructureFault: it cannot be written.
        """
        text, _ = corpus_of(self._settings.corpus_size, Style(self._settings.documents))
        return write_corpus(text)


def _tools(backend: SearchBackend, settings: MultiHopSearchSettings) -> tuple[Tool, ...]:
    search = Search(backend, top_k=settings.top_k, extract_chars=settings.extract_chars)
    return (search, OpenDocument(backend)) if backend.opens else (search,)

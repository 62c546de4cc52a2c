"""MultiHopSearch: the environment, its questions, and the scripted agents that play it."""

from axpo_envs.suite.multi_hop_search._graph import Entity, Fact, FactGraph, Kind, Mention
from axpo_envs.suite.multi_hop_search._plan import Hop, Plan, QuestionKind
from axpo_envs.suite.multi_hop_search.brief_expert import BriefExpert, SearchStyle
from axpo_envs.suite.multi_hop_search.env import MultiHopSearch
from axpo_envs.suite.multi_hop_search.expert import HopExpert, RandomFloor, SingleQueryReader
from axpo_envs.suite.multi_hop_search.settings import MultiHopSearchSettings

__all__ = [
    "BriefExpert",
    "Entity",
    "Fact",
    "FactGraph",
    "Hop",
    "HopExpert",
    "Kind",
    "Mention",
    "MultiHopSearch",
    "MultiHopSearchSettings",
    "Plan",
    "QuestionKind",
    "RandomFloor",
    "SearchStyle",
    "SingleQueryReader",
]

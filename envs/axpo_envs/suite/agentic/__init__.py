"""Agentic: the environment, its questions, and the scripted agents that play it."""

from axpo_envs.suite.agentic.env import Agentic
from axpo_envs.suite.agentic.expert import AgenticExpert, RandomFloor
from axpo_envs.suite.agentic.settings import AgenticSettings

__all__ = ["Agentic", "AgenticExpert", "AgenticSettings", "RandomFloor"]

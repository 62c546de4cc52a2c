"""PerceptionQA: the environment, its questions, and the scripted agents that play it."""

from axpo_envs.suite.perception_qa._truth import Kind, Look, Picture, Topic, Truth
from axpo_envs.suite.perception_qa.env import PerceptionQA
from axpo_envs.suite.perception_qa.expert import FrequentGuesser, PerceptionExpert, RandomFloor, answer_class
from axpo_envs.suite.perception_qa.settings import PerceptionQASettings

__all__ = [
    "FrequentGuesser",
    "Kind",
    "Look",
    "PerceptionExpert",
    "PerceptionQA",
    "PerceptionQASettings",
    "Picture",
    "RandomFloor",
    "Topic",
    "Truth",
    "answer_class",
]

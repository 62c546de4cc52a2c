"""Rewards, one a module, and `make_reward`, which makes them by name."""

from axpo_envs.rewards._answer_check import ChecksAnswers
from axpo_envs.rewards._multiple_choice import MultipleChoice
from axpo_envs.rewards._numeric import Numeric
from axpo_envs.rewards._registry import REWARDS, answer_problem, describe_reward, make_reward
from axpo_envs.rewards._token_f1 import TokenF1, token_f1
from axpo_envs.rewards.reward import ExactMatch, FunctionReward, Reward, WeightedSum

__all__ = [
    "REWARDS",
    "ChecksAnswers",
    "ExactMatch",
    "FunctionReward",
    "MultipleChoice",
    "Numeric",
    "Reward",
    "TokenF1",
    "WeightedSum",
    "answer_problem",
    "describe_reward",
    "make_reward",
    "token_f1",
]

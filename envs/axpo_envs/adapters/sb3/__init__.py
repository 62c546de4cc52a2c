"""Tool environments for stable-baselines3: observations of fixed size, turns chosen by number; SB3 is not imported."""

from axpo_envs.adapters.sb3._choices import Answers, Calls, Choices, Turns
from axpo_envs.adapters.sb3._text_features import TextFeatures
from axpo_envs.adapters.sb3._wrapper import FixedSpaces
from axpo_envs.adapters.sb3._zoom_grid import ZoomGrid

__all__ = ["Answers", "Calls", "Choices", "FixedSpaces", "TextFeatures", "Turns", "ZoomGrid"]

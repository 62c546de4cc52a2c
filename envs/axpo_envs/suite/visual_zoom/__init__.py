"""VisualZoom: the environment, its questions, and the scripted agents that play it."""

from axpo_envs.suite.visual_zoom.env import VisualZoom
from axpo_envs.suite.visual_zoom.expert import ExpertStyle, FavouriteGuesser, RandomFloor, ZoomExpert

__all__ = ["ExpertStyle", "FavouriteGuesser", "RandomFloor", "VisualZoom", "ZoomExpert"]

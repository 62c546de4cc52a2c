"""Desk: the environment, its questions, and the scripted agents that play it."""

from axpo_envs.suite.desk.brief_expert import BriefDeskExpert, DeskStyle
from axpo_envs.suite.desk.changes import Changes
from axpo_envs.suite.desk.denials import DeskGate
from axpo_envs.suite.desk.env import Desk
from axpo_envs.suite.desk.expert import DeskExpert, OverActor, RandomFloor, Refuser
from axpo_envs.suite.desk.plan import Kind, Plan, Step
from axpo_envs.suite.desk.settings import Denials, DeskSettings, DeskSize, Payments

__all__ = [
    "BriefDeskExpert",
    "Changes",
    "Denials",
    "Desk",
    "DeskExpert",
    "DeskGate",
    "DeskSettings",
    "DeskSize",
    "DeskStyle",
    "Kind",
    "OverActor",
    "Payments",
    "Plan",
    "RandomFloor",
    "Refuser",
    "Step",
]

"""Environments of others, which live in sessions and keep their state to themselves, as tools of ours."""

from axpo_envs.adapters.sessions._environment import SessionQuestions, SessionReward, session_env
from axpo_envs.adapters.sessions._pool import Reply, Session
from axpo_envs.adapters.sessions._tool import RewindFault, SessionTool

__all__ = [
    "Reply",
    "RewindFault",
    "Session",
    "SessionQuestions",
    "SessionReward",
    "SessionTool",
    "session_env",
]

"""ToolTask: an environment of the user's own questions, tools and reward."""

from axpo_envs.suite.tool_task.env import ToolTask

__all__ = ["ToolTask"]

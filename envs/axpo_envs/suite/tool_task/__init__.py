"""ToolTask: an environment of the user's own questions, tools and reward."""

from axpo_envs.suite.tool_task._tools import tools_of
from axpo_envs.suite.tool_task.env import ToolTask

__all__ = ["ToolTask", "tools_of"]

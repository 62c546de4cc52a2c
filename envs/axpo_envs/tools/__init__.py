"""Tools: the protocol, and `@tool`, which makes one of a typed function."""

from axpo_envs.tool._function import FunctionTool, tool
from axpo_envs.tool.protocol import (
    AsyncTool,
    Effects,
    FingerprintedTool,
    Tool,
    ToolArgumentError,
    ToolContext,
    ToolError,
    ToolTimeout,
)
from axpo_envs.types import ToolResult, ToolStatus

__all__ = [
    "AsyncTool",
    "Effects",
    "FingerprintedTool",
    "FunctionTool",
    "Tool",
    "ToolArgumentError",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "ToolStatus",
    "ToolTimeout",
    "tool",
]

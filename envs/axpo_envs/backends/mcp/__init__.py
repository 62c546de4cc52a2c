"""The tools of MCP servers as tools of an environment; needs the extra `mcp`."""

from axpo_envs.backends.mcp._collection import McpTools, mcp_tools
from axpo_envs.backends.mcp._server import McpServer
from axpo_envs.backends.mcp._tool import McpTool

__all__ = ["McpServer", "McpTool", "McpTools", "mcp_tools"]

"""Tools: the protocol, `@tool`, which makes one of a typed function, and those of this package.

The package's own tools are loaded when they are first used: what they stand on is not needed by a user's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.plumbing.lazy import lazily
from axpo_envs.tool._function import FunctionTool, tool
from axpo_envs.tool.marks import Mark, MarkingTool, Seen
from axpo_envs.tool.protocol import (
    AsyncTool,
    Effects,
    FingerprintedTool,
    PreviewingTool,
    Tool,
    ToolArgumentError,
    ToolContext,
    ToolError,
    ToolTimeout,
)
from axpo_envs.types import ToolResult, ToolStatus

if TYPE_CHECKING:
    from axpo_envs.backends.browser.limits import BrowserLimits
    from axpo_envs.backends.browser.state import BrowserReplayFault, BrowserState
    from axpo_envs.backends.browser.text_pages import TextPages
    from axpo_envs.backends.commands.limits import CommandLimits
    from axpo_envs.backends.commands.trees import FileTree
    from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
    from axpo_envs.backends.python_sandbox.state import ReplayFault
    from axpo_envs.backends.sql.limits import SqlLimits
    from axpo_envs.backends.sql.state import SqlState
    from axpo_envs.tools.browser import BrowserTool
    from axpo_envs.tools.edit import EditTool
    from axpo_envs.tools.image_search import ImageSearch
    from axpo_envs.tools.image_zoom_in import ImageZoomIn
    from axpo_envs.tools.measure import Measure
    from axpo_envs.tools.ocr import Ocr
    from axpo_envs.tools.open_document import OpenDocument
    from axpo_envs.tools.paper_set import paper_tools
    from axpo_envs.tools.payment import PaymentLimits, PaymentTool
    from axpo_envs.tools.postgres import PostgresTool
    from axpo_envs.tools.python import PythonTool
    from axpo_envs.tools.python_expressions import python_expressions
    from axpo_envs.tools.search import Search
    from axpo_envs.tools.shell import ShellState, ShellTool
    from axpo_envs.tools.spreadsheet import SpreadsheetLimits, SpreadsheetTool
    from axpo_envs.tools.sql import SqlTool
    from axpo_envs.tools.ticket import TicketLimits, TicketTool

__all__ = [
    "AsyncTool",
    "BrowserLimits",
    "BrowserReplayFault",
    "BrowserState",
    "BrowserTool",
    "CommandLimits",
    "EditTool",
    "Effects",
    "FileTree",
    "FingerprintedTool",
    "FunctionTool",
    "ImageSearch",
    "ImageZoomIn",
    "Mark",
    "MarkingTool",
    "Measure",
    "Ocr",
    "OpenDocument",
    "PaymentLimits",
    "PaymentTool",
    "PostgresTool",
    "PreviewingTool",
    "PythonTool",
    "ReplayFault",
    "SandboxLimits",
    "SandboxSettings",
    "Search",
    "Seen",
    "ShellState",
    "ShellTool",
    "SpreadsheetLimits",
    "SpreadsheetTool",
    "SqlLimits",
    "SqlState",
    "SqlTool",
    "TextPages",
    "TicketLimits",
    "TicketTool",
    "Tool",
    "ToolArgumentError",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "ToolStatus",
    "ToolTimeout",
    "paper_tools",
    "python_expressions",
    "tool",
]

_HOMES: Final = {
    "BrowserLimits": "axpo_envs.backends.browser.limits",
    "BrowserReplayFault": "axpo_envs.backends.browser.state",
    "BrowserState": "axpo_envs.backends.browser.state",
    "BrowserTool": "axpo_envs.tools.browser",
    "CommandLimits": "axpo_envs.backends.commands.limits",
    "EditTool": "axpo_envs.tools.edit",
    "FileTree": "axpo_envs.backends.commands.trees",
    "ImageSearch": "axpo_envs.tools.image_search",
    "ImageZoomIn": "axpo_envs.tools.image_zoom_in",
    "Measure": "axpo_envs.tools.measure",
    "Ocr": "axpo_envs.tools.ocr",
    "OpenDocument": "axpo_envs.tools.open_document",
    "PaymentLimits": "axpo_envs.tools.payment",
    "PaymentTool": "axpo_envs.tools.payment",
    "PostgresTool": "axpo_envs.tools.postgres",
    "PythonTool": "axpo_envs.tools.python",
    "ReplayFault": "axpo_envs.backends.python_sandbox.state",
    "SandboxLimits": "axpo_envs.backends.python_sandbox.limits",
    "SandboxSettings": "axpo_envs.backends.python_sandbox.limits",
    "Search": "axpo_envs.tools.search",
    "ShellState": "axpo_envs.tools.shell",
    "ShellTool": "axpo_envs.tools.shell",
    "SpreadsheetLimits": "axpo_envs.tools.spreadsheet",
    "SpreadsheetTool": "axpo_envs.tools.spreadsheet",
    "TicketLimits": "axpo_envs.tools.ticket",
    "TicketTool": "axpo_envs.tools.ticket",
    "SqlLimits": "axpo_envs.backends.sql.limits",
    "SqlState": "axpo_envs.backends.sql.state",
    "SqlTool": "axpo_envs.tools.sql",
    "TextPages": "axpo_envs.backends.browser.text_pages",
    "paper_tools": "axpo_envs.tools.paper_set",
    "python_expressions": "axpo_envs.tools.python_expressions",
}

__getattr__ = lazily(__name__, _HOMES)

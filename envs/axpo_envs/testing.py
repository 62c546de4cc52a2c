"""Defines the conformance kit: `check_tool_env` and `check_tool` hold environments and tools to the contract."""

from axpo_envs.conformance._environment import EnvSource, check_tool_env
from axpo_envs.conformance._invariants import ConformanceError, Invariant
from axpo_envs.conformance._tool import check_tool

__all__ = ["ConformanceError", "EnvSource", "Invariant", "check_tool", "check_tool_env"]

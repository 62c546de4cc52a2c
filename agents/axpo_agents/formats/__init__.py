"""How families of models write tool calls, one format a file, and how a turn becomes what environments read."""

from __future__ import annotations

from typing import Final

from axpo_agents.formats.call_format import CallFormat, WrittenCall
from axpo_agents.formats.function_tags import FunctionTagsFormat
from axpo_agents.formats.hermes import HermesFormat
from axpo_agents.formats.llama import LlamaFormat
from axpo_agents.formats.mistral import MistralFormat
from axpo_agents.formats.translation import Translation, translate

__all__ = [
    "FORMATS",
    "CallFormat",
    "FunctionTagsFormat",
    "HermesFormat",
    "LlamaFormat",
    "MistralFormat",
    "Translation",
    "WrittenCall",
    "translate",
]

FORMATS: Final[tuple[CallFormat, ...]] = (HermesFormat(), FunctionTagsFormat(), LlamaFormat(), MistralFormat())
"""Every format that is known."""

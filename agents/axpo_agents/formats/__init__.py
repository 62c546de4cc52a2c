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
    "CallFormat",
    "FunctionTagsFormat",
    "HermesFormat",
    "LlamaFormat",
    "MistralFormat",
    "Translation",
    "WrittenCall",
    "call_formats",
    "register_format",
    "translate",
]

_FORMATS: Final[dict[str, CallFormat]] = {}


def register_format(calls: CallFormat) -> None:
    """Makes a format known by its name; chat templates are tried with all of them, in the order of registration.

    Raises:
        ValueError: another one has that name.
    """
    if _FORMATS.setdefault(calls.name, calls) != calls:
        raise ValueError(f"expected one format of the name {calls.name!r}; there is another one")


def call_formats() -> tuple[CallFormat, ...]:
    """Every format that is known."""
    return tuple(_FORMATS.values())


for _calls in (HermesFormat(), FunctionTagsFormat(), LlamaFormat(), MistralFormat()):
    register_format(_calls)

"""Defines `with_options`, a chat template with some of its options decided (`enable_thinking` of Qwen3, say)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from axpo_agents.errors import PolicyError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GIVEN: Final = frozenset(("messages", "tools", "documents", "add_generation_prompt"))
"""Variables of every chat template that are no options."""


def with_options(template: str, options: Iterable[tuple[str, Any]]) -> str:
    """The template as if every rendering were given these variables.

    Args:
        template: a chat template (Jinja).
        options: name and value of each variable; values are numbers, text, booleans or None.

    Raises:
        PolicyError: a name is none or unknown to the template, or a value of another kind.
    """
    assignments = []
    for name, value in options:
        if not _NAME.fullmatch(name) or name in _GIVEN or not re.search(rf"\b{name}\b", template):
            raise PolicyError(f"template_options: expected names of options of the chat template; it has no {name!r}")
        if not isinstance(value, str | int | float | bool | None):
            raise PolicyError(
                f"template_options: expected a number, text, true, false or null for {name}; got {value!r}"
            )
        assignments.append(f"{{% set {name} = {'none' if value is None else json.dumps(value)} %}}")
    return "".join(assignments) + template

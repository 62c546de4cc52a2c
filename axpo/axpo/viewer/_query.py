"""Defines `Look`: what a page is asked to show, read from an address and written into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from axpo.viewer._flags import FLAGS

LATEST: Final = "latest"
"""The newest step that is saved, also while there are newer ones."""
ALL: Final = "all"
"""Every saved step, the newest first."""
_MOST: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is looked at; the address of a page holds all of it, so that it can be shared."""

    run: str = ""
    """The run's name; empty for the first."""
    step: int | str = LATEST
    """The step, `LATEST` or `ALL`."""
    show: tuple[str, ...] = ()
    """Names of flags: groups that show all of them."""
    page: int = 1
    """Of a step's groups."""
    before: int | None = None
    """Of all steps those before this one."""
    group: int | None = None
    """Index of a group within the step."""
    at: int | None = None
    """Number of a rollout's line."""

    @classmethod
    def of(cls, query: Mapping[str, str], show: list[str]) -> Look:
        """Reads a query; what is no such value is as if it were not there."""
        step = query.get("step", LATEST)
        number = _number(step)
        return cls(
            run=query.get("run", ""),
            step=number if number is not None else (step if step == ALL else LATEST),
            show=tuple(flag.name for flag in FLAGS if flag.name in show),
            page=max(_number(query.get("page", "")) or 1, 1),
            before=_number(query.get("before", "")),
            group=_number(query.get("group", "")),
            at=_number(query.get("at", "")),
        )

    def link(self, path: str, **changes: Any) -> str:
        """An address that shows the same but for some changes."""
        look = replace(self, **changes)
        parts: list[tuple[str, Any]] = [("run", look.run), ("step", look.step)]
        parts += [("show", name) for name in look.show]
        parts += [("page", look.page)] if look.page > 1 else []
        optional = {"before": look.before, "group": look.group, "at": look.at}
        parts += [(name, value) for name, value in optional.items() if value is not None]
        return f"{path}?{urlencode(parts)}"

    def toggled(self, name: str) -> tuple[str, ...]:
        """The flags with one more, or one fewer."""
        return tuple(flag.name for flag in FLAGS if (flag.name in self.show) != (flag.name == name))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= _MOST else None

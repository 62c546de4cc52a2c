r"""Defines `final_answer`, where in a response the answer stands.

1. Thoughts are left out: what counts follows the last `</think>`. A `<think>` that is never closed leaves nothing.
2. Of what is left the last `<answer>...</answer>` counts where there is one. One that is never closed leaves nothing.
3. Of that the last balanced `\boxed{...}` counts where there is one;
4. else what follows the last `answer is`, `answer:` or these in Chinese on its line, without `because ...`;
5. else all of it.

An answer of more than 8,000 characters is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_THINK_OPEN: Final = "<think>"
_THINK_CLOSE: Final = "</think>"
_OPEN: Final = "<answer>"
_CLOSE: Final = "</answer>"
LONGEST: Final = 8000
"""Characters of an answer; a longer one is none."""

_IN_BOX: Final = r"the last \boxed{}"
_BRACE: Final = re.compile(r"(?P<box>\\boxed\{)|\\.|[{}]", re.DOTALL)
_STATED: Final = re.compile(
    r"\banswer\s{0,4}(?:\*\*|__)?\s{0,4}(?:\bis\b\s*:?|:|\uff1a)\s*(?:(?:\*\*|__)(?=\s))?\s*|"
    r"\u7b54\u6848(?:(?:\u662f|\u4e3a)\s{0,4}[:\uff1a]?|[:\uff1a])\s*",
    re.IGNORECASE,
)
_BECAUSE: Final = re.compile(r"(?:,|(?<!\s)(?=\s))\s+(?:because|since)\b.*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found of an answer."""

    text: str | None
    """The answer; None where there is none."""
    rule: str
    """What it was found by, or why there is none."""

    @property
    def is_boxed(self) -> bool:
        """Whether it stood in a box."""
        return self.rule == _IN_BOX


def final_text(response: str | None) -> Found:
    """The part of a response after its thoughts, within its last answer tags (rules 1 and 2)."""
    if response is None or not response.strip():
        return Found(text=None, rule="there is no answer")
    _, closed, rest = response.rpartition(_THINK_CLOSE)
    if _THINK_OPEN in rest:
        return Found(text=None, rule="<think> is never closed")
    said = rest if closed else response
    _, opened, inner = said.rpartition(_OPEN)
    if not opened:
        return _filled(said, "all of it")
    answer, ended, _ = inner.partition(_CLOSE)
    return _filled(answer, "the last <answer>") if ended else Found(text=None, rule="the last <answer> is never closed")


def final_answer(response: str | None) -> Found:
    r"""The answer of a response, by the module's rules."""
    found = _marked(response)
    if found.text is not None and len(found.text) > LONGEST:
        return Found(text=None, rule=f"{found.rule} is longer than {LONGEST} characters")
    return found


def _marked(response: str | None) -> Found:
    found = final_text(response)
    if found.text is None:
        return found
    boxes = boxed(found.text)
    if boxes:
        return _filled(boxes[-1], _IN_BOX)
    stated = list(_STATED.finditer(found.text))
    if stated:
        line = found.text[stated[-1].end() :].partition("\n")[0]
        if line.strip():
            return _filled(_closed(_BECAUSE.sub("", line)), f"what follows {stated[-1][0].strip()!r}")
    return found


def boxed(text: str) -> list[str]:
    r"""What the balanced `\boxed{...}` of a text hold, in order; of nested ones the innermost alone."""
    found: list[tuple[int, str]] = []
    opened: list[tuple[bool, int]] = []
    for brace in _BRACE.finditer(text):
        if brace["box"] or brace[0] == "{":
            opened.append((bool(brace["box"]), brace.end()))
        elif brace[0] == "}" and opened:
            is_box, begin = opened.pop()
            if is_box and not (found and found[-1][0] > begin):
                found.append((brace.end(), text[begin : brace.start()]))
    return [inner for _, inner in found]


def _closed(line: str) -> str:
    """A line without the end of emphasis that began before it."""
    bare = line.strip()
    return bare.removesuffix("**") if bare.count("**") % 2 else bare


def last_line(text: str) -> str:
    """The last line that is not blank; empty where there is none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _filled(text: str, rule: str) -> Found:
    return Found(text=text.strip(), rule=rule) if text.strip() else Found(text=None, rule=f"{rule} is empty")

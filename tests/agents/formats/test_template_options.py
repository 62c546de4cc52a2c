from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from axpo_agents.formats._template_options import with_options
from axpo_agents.transformers_policy import LoadSettings, PolicyError, load_policy

TEMPLATE = "{% if enable_thinking is defined and not enable_thinking %}no thinking{% endif %}{{ style }}"


def test_options_reach_the_prompt(layout: Callable[[str], Path], kit: SimpleNamespace) -> None:
    prompts = []
    for options in ((), (("enable_thinking", True),), (("enable_thinking", False),)):
        policy = load_policy(str(layout("qwen3")), LoadSettings(template_options=options))
        prompts.append(policy.tokenizer.decode(kit.encode(policy, "What?").ids))
    assert prompts[0] == prompts[1]
    assert prompts[2] == prompts[0] + "<think>\n\n</think>\n\n"


@pytest.mark.parametrize("name", ["enable_thinkin", "messages", "a b", ""])
def test_names_that_are_no_options_are_refused(name: str) -> None:
    with pytest.raises(PolicyError, match="it has no"):
        with_options(TEMPLATE, [(name, True)])


def test_values_are_written_as_the_template_reads_them() -> None:
    options = [("enable_thinking", False), ("style", 'say "hi"')]
    written = with_options(TEMPLATE, options)
    assert written == "{% set enable_thinking = false %}" + '{% set style = "say \\"hi\\"" %}' + TEMPLATE
    assert with_options(TEMPLATE, [("style", None)]) == "{% set style = none %}" + TEMPLATE
    with pytest.raises(PolicyError, match="for style; got \\[1\\]"):
        with_options(TEMPLATE, [("style", [1])])

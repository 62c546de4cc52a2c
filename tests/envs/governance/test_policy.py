"""Policies are read whole, and told whole what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from axpo_envs.governance import Action, Bounds, Phase, Policy, PolicyError, Rule, read_policy

WRONG = """\
[[rules]]
name = "a"
verdict = "allw"
tools = []
colour = 3

[[rules]]
verdict = "modify"

[[rules]]
verdict = "allow"
bounds = { amount = { min = 5, max = 3 }, b = {}, c = { max = "x" } }
arguments = { card = { number = 3 } }
schema = { type = "nope" }

[[budgets]]
per = "week"
unit = "calls"
limit = -1

[costs]
pay = { argument = 3 }

[audit_log]
secret_patterns = ["("]
"""


def test_everything_that_is_wrong_is_told_with_file_line_rule_and_field(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(WRONG)
    with pytest.raises(PolicyError) as caught:
        read_policy(file)
    first, *told = str(caught.value).splitlines()
    assert first == f"{file}: 14 things are wrong"
    assert [line.strip() for line in told] == [
        "default: missing; expected it to be stated",
        "line 1, rule 1 ('a'), tools: expected at least one; got []",
        "line 1, rule 1 ('a'), verdict: expected 'allow', 'deny', 'ask', 'dry_run' or 'modify'; got 'allw'",
        "line 1, rule 1 ('a'), colour: unknown field",
        "line 7, rule 2, clamp: expected it or set beside the verdict modify; got neither",
        "line 10, rule 3, arguments, card: expected texts, numbers or truth values; got {'number': 3}; a path is one "
        "quoted key, such as 'card.number'",
        "line 10, rule 3, bounds.amount: expected min <= max; got 5 and 3",
        "line 10, rule 3, bounds.b: expected min, max or both; got neither",
        "line 10, rule 3, bounds.c.max: expected a number; got 'x'",
        "line 10, rule 3, schema: expected a JSON schema; at type: 'nope' is not valid under any of the given schemas",
        "line 16, budget 1, per: expected 'episode', 'question' or 'run'; got 'week'",
        "line 16, budget 1, limit: expected greater than or equal to 0; got -1",
        "costs.pay.argument: expected a string; got 3",
        "audit_log.secret_patterns: expected regular expressions; '(' is none "
        "(missing ), unterminated subpattern at position 0)",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "policy: default: missing; expected it to be stated"),
        ({"default": "modify"}, "policy: default: expected 'allow', 'deny', 'ask' or 'dry_run'; got 'modify'"),
        ({"default": "ask"}, "ask.approver: expected one, because calls are asked about; got none"),
        ({"default": "deny", "rules": [3]}, "rule 1, expected a dictionary or an instance of Rule; got 3"),
        ({"default": "deny", "rule": []}, "rule: unknown field"),
        (
            {"default": "deny", "rules": [{"name": "a", "verdict": "deny"}] * 2},
            "rules: expected different names; got 'a' twice",
        ),
        (
            {"default": "deny", "rules": [{"verdict": "allow", "schema": {"properties": {"a": {"$ref": "x"}}}}]},
            r"rule 1, schema: expected a schema without references; got one at properties.a.\$ref",
        ),
        (
            {"default": "deny", "rules": [{"verdict": "modify", "set": {"a": float("nan")}}]},
            "rule 1, set, a: expected what JSON has; got nan",
        ),
        (
            {"default": "deny", "rules": [{"verdict": "allow", "clamp": {"a": {"max": 1}}}]},
            "clamp, set: expected them beside the verdict modify alone; got allow",
        ),
        (
            {"default": "deny", "rules": [{"verdict": "allow", "bounds": {"a..b": {"max": 1}}}]},
            "rule 1, bounds: expected the path of an argument, such as 'card.number'; got 'a..b'",
        ),
        (
            {"default": "deny", "audit_log": {"secret_patterns": "a*"}},
            "expected patterns that find something; 'a\\*' matches nothing at all",
        ),
        (3, "policy: expected the path of a TOML file, a mapping or a Policy; got 3"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(given: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        read_policy(given)


def test_files_that_are_no_policy_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        read_policy(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text('default = "deny"\n[[rules]\n')
    with pytest.raises(PolicyError, match=r"broken\.toml: expected a TOML file; .*line 2"):
        read_policy(tmp_path / "broken.toml")


def test_toml_and_python_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        'default = "deny"\n[[rules]]\ntools = "pay"\nverdict = "allow"\nphases = "training"\nbounds.amount.max = 10\n'
    )
    read = read_policy(tmp_path / "policy.toml")
    made = Policy(
        default="deny",
        rules=(
            Rule(tools=("pay",), verdict=Action.ALLOW, phases=(Phase.TRAINING,), bounds={"amount": Bounds(max=10)}),
        ),
    )
    assert read == made
    assert read.fingerprint == made.fingerprint
    assert read_policy({"default": "deny"}).fingerprint != made.fingerprint


def test_a_callable_enters_the_fingerprint_by_its_name() -> None:
    def of(approver: Any) -> str:
        return read_policy({"default": "ask", "ask": {"approver": approver}}).fingerprint

    assert of(print) == of(print) != of(len)

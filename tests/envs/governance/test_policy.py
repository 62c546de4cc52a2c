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

BUDGET = {"per": "run", "unit": "calls", "limit": 1}


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
        ({"default": "deny", "rules": [3]}, "rule 1, expected a table; got 3"),
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
        (
            {"default": "deny", "rules": [{"verdict": "deny"}], "budgets": [BUDGET | {"name": "rule 1"}]},
            "rules, budgets: expected different names; got 'rule 1' twice",
        ),
        (
            {"default": "deny", "rules": [{"verdict": "deny", "name": "default"}]},
            "rules: expected another name than 'default', which is what records call the default",
        ),
        ({"default": "deny", "budgets": [BUDGET | {"unit": "cost"}]}, "costs: expected some, .*every call is free"),
        ({"default": "deny", "costs": {"": 1}}, "costs: expected patterns of tools' names; got an empty one"),
        ({"default": "deny", "costs": {"a": {"argument": "b."}}}, "costs.a.argument: expected the path of an argument"),
        (
            {"default": "deny", "rules": {"verdict": "deny"}},
            r"rules: .*; got one table: write \[\[rules\]\]",
        ),
        (
            {"default": "deny", "rules": [{"verdict": "deny", "effects": "none"}]},
            "^policy: rule 1, effects.0: expected 'pure', 'stateful' or 'external'; got 'none'$",
        ),
        ({"default": "ask", "ask": {"approver": "a b"}}, "ask, approver: expected terminal, an address or"),
        ({"default": "deny", "ask": {"timeout_s": 1e300}}, "ask.timeout_s: expected less than or equal to 31536000"),
        ("a\0b", "expected a TOML file; embedded null byte"),
        ("~nobody-of-that-name/p.toml", "policy: ~nobody-of-that-name/p.toml cannot be found"),
        (3, "policy: expected the path of a TOML file, a mapping or a Policy; got 3"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(given: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        read_policy(given)


def test_what_is_wrong_across_fields_is_told_beside_what_is_wrong_with_one() -> None:
    rules = [
        {"name": "a", "verdict": "ask", "colour": 3},
        {"name": "a", "verdict": "deny", "tools": 3, "clamp": {"x": {"max": 1}}},
        3,
    ]
    with pytest.raises(PolicyError) as caught:
        read_policy({"default": "never", "rules": rules, "budgets": [BUDGET | {"unit": "cost"}]})
    first, *told = str(caught.value).splitlines()
    assert first == "policy: 8 things are wrong"
    assert [line.strip() for line in told] == [
        "default: expected 'allow', 'deny', 'ask' or 'dry_run'; got 'never'",
        "rule 1 ('a'), colour: unknown field",
        "rule 2 ('a'), tools: expected a list; got 3",
        "rule 3, expected a table; got 3",
        "rule 2 ('a'), clamp, set: expected them beside the verdict modify alone; got deny",
        "ask.approver: expected one, because calls are asked about; got none",
        "costs: expected some, because a budget counts them; got none, so that every call is free",
        "rules: expected different names; got 'a' twice",
    ]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_files_of_other_systems_are_read(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "policy.toml").write_bytes(start + b'default = "deny"\r\n[[rules]]\r\nverdict = "allow"\r\n')
    assert len(read_policy(tmp_path / "policy.toml").rules) == 1


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

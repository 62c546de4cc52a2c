"""Defines `axpo policy check`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from axpo.commands.arguments import check_output, parse_action, write_json
from axpo.run._env_making import make_env
from axpo.settings._arguments import parse_env_args
from axpo.settings.config import ConfigError
from axpo.settings.values import Name
from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import CheckedCall, Phase, Policy, check_calls, read_policy, read_recorded
from axpo_envs.plumbing.printable import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckArguments:
    """Check a policy, and say what it would decide about recorded calls. Nothing runs, and nobody is asked."""

    policy: tyro.conf.Positional[Path]
    """TOML file (docs/permissions.md)."""
    calls: Path | None = None
    """A JSONL file: calls with `tool` and `arguments` (and effects, environment, agent, phase, labels, question,
    episode), an audit log, or the rollouts of a run; or a folder with such."""
    env: Name | None = None
    """Gymnasium id of an environment whose tools tell their effects and defaults; without it, and where the record does
    not tell, effects are taken to be external."""
    env_args: tuple[str, ...] = ()
    """Keyword arguments of the environment as NAME=VALUE, VALUE in JSON (or a bare word)."""
    phase: Phase | None = None
    """What the agent acts for, whatever the record says."""
    json: Path | None = None
    """Write every decision to this file."""


def run(arguments: Sequence[str]) -> int:
    """Checks; returns the exit code."""
    given: CheckArguments = parse_action({"check": CheckArguments}, "policy", arguments)
    check_output(given.json)
    if given.json is not None and given.json.resolve() in (
        path.resolve() for path in (given.policy, given.calls) if path is not None
    ):
        raise ConfigError(f"json: expected another file than those that are read; got {given.json}")
    try:
        return _check(given)
    except EnvConfigError as error:
        raise ConfigError(str(error)) from error


def _check(given: CheckArguments) -> int:
    policy = read_policy(given.policy)
    tools = () if given.env is None else make_env(given.env, parse_env_args(given.env_args)).tools
    calls = () if given.calls is None else read_recorded(given.calls)
    checked = check_calls(policy, calls, tools=tools, phase=given.phase)
    write_json(given.json, {"policy": policy.fingerprint, "calls": [_record(one) for one in checked]})
    _show(policy, checked, calls_given=given.calls is not None)
    return 0


def _show(policy: Policy, checked: Sequence[CheckedCall], *, calls_given: bool) -> None:
    for one in checked:
        print(printable(_line(one)))
    if calls_given and not checked:
        print("0 calls")
    if checked:
        counts = Counter(one.judgement.action.value for one in checked)
        print(f"{len(checked)} calls: {', '.join(f'{count} {name}' for name, count in counts.most_common())}")
        used = {one.judgement.name for one in checked}
        names = [policy.rule_name(number) for number in range(len(policy.rules))]
        if idle := [name for name in names if name not in used]:
            print(printable(f"decided nothing: {', '.join(idle)}"))
        if assumed := sorted({one.call.tool for one in checked if one.assumed_external}):
            print(printable(f"taken to have external effects, for nothing tells (--env does): {', '.join(assumed)}"))
    rules, budgets = len(policy.rules), len(policy.budgets)
    print(
        f"policy {policy.fingerprint}: {rules} rules, {budgets} budgets, default {policy.default}, "
        f"external {policy.external}"
    )


def _line(one: CheckedCall) -> str:
    judged = one.judgement
    written = json.dumps(one.call.arguments, ensure_ascii=False)
    changed = json.dumps(one.arguments, ensure_ascii=False)
    becomes = f" -> {changed}" if judged.action.value == "modify" and changed != written else ""
    reason = f": {judged.reason}" if judged.reason else ""
    return f"{judged.action.value:<8} {one.call.tool} {written[:200]}{becomes[:200]}  ({judged.name}{reason})"


def _record(one: CheckedCall) -> dict[str, Any]:
    judged = one.judgement
    return {
        "tool": one.call.tool,
        "arguments": one.call.arguments,
        "changed": one.arguments if judged.action.value == "modify" else None,
        "question": one.call.question,
        "episode": one.call.episode,
        "action": judged.action.value,
        "rule": judged.name,
        "reason": judged.reason,
        "assumed_external": one.assumed_external,
    }

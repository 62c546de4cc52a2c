"""Defines `axpo audit-log verify`, `show` and `query`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from axpo.commands.arguments import check_output, parse_action, write_json
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.settings.values import CountOrNone
from axpo.terminal.unfailing import say
from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import Anchor, CallQuery, Problem, ReadCalls, read_calls, verify_log
from axpo_envs.plumbing.printable import printable

_DAMAGED: Final = 3
"""Exit code where something is wrong with the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyArguments:
    """Find out whether a log is as it was written; exits with 3 where it is not, and says where.

    What someone did who may change every file, the head included, is found by an anchor alone: the number and the hash
    that this command prints at the end, kept elsewhere and given with `--anchor` later.
    """

    log: tyro.conf.Positional[Path]
    """The log's folder."""
    anchor: str | None = None
    """NUMBER:HASH of a record that must still be there as it was."""
    json: Path | None = None
    """Write what was found to this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowArguments:
    """Show the decisions of a log, one a line."""

    log: tyro.conf.Positional[Path]
    """The log's folder."""
    last: CountOrNone = 0
    """Only the last so many; 0 shows all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryArguments:
    """Find decisions in a log; texts are patterns such as `pay*`."""

    log: tyro.conf.Positional[Path]
    """The log's folder."""
    query: Annotated[CallQuery, tyro.conf.arg(name="")] = field(default_factory=CallQuery)
    """Which decisions."""
    json: bool = False
    """Print a JSON object a line."""


def run(arguments: Sequence[str]) -> int:
    """Verifies, shows or queries; returns the exit code."""
    actions = {"verify": VerifyArguments, "show": ShowArguments, "query": QueryArguments}
    try:
        return _run(parse_action(actions, "audit-log", arguments))
    except EnvConfigError as error:
        raise ConfigError(str(error)) from error


def _run(given: VerifyArguments | ShowArguments | QueryArguments) -> int:
    if isinstance(given, VerifyArguments):
        return _verify(given)
    if isinstance(given, ShowArguments):
        last = checked(given).last
        found = read_calls(given.log)
        _show(found, found.calls[-last:] if last else found.calls)
        return 0
    found = read_calls(given.log, given.query)
    if given.json:
        for call in found.calls:
            print(json.dumps(call))
        _tell_damaged(found)
    else:
        _show(found, found.calls)
    return 0


def _verify(given: VerifyArguments) -> int:
    check_output(given.json)
    if given.json is not None and given.log.resolve() in given.json.resolve().parents:
        raise ConfigError(f"json: expected a file outside of the log {given.log}; got {given.json}")
    anchor = None if given.anchor is None else Anchor.read(given.anchor)
    found = verify_log(given.log, anchor=anchor)
    record = {
        "records": found.records,
        "files": found.files,
        "last": str(found.last),
        "problems": [_problem(problem) for problem in found.problems],
        "notes": [_problem(note) for note in found.notes],
    }
    write_json(given.json, record)
    for note in found.notes:
        print(printable(f"note     {note}"))
    for problem in found.problems:
        print(printable(f"problem  {problem}"))
    print(f"{found.records} records in {found.files} files, {len(found.problems)} problems; the last is {found.last}")
    return _DAMAGED if found.problems else 0


def _problem(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "line": problem.line, "record": problem.n, "what": problem.what}


def _show(found: ReadCalls, calls: Sequence[Mapping[str, Any]]) -> None:
    for call in calls:
        print(printable(_line(call)))
    _tell_damaged(found)


def _tell_damaged(found: ReadCalls) -> None:
    if found.damaged:
        say(f"axpo: {found.damaged} lines are not what was written; `axpo audit-log verify` says which")


def _line(call: Mapping[str, Any]) -> str:
    """`n time who: verdict tool arguments -> status (rule)`, without line breaks."""
    what = json.dumps(call["arguments"], ensure_ascii=False) if "arguments" in call else repr(call.get("text", ""))
    changed = f" changed to {json.dumps(call['changed'], ensure_ascii=False)}" if "changed" in call else ""
    who = "/".join(filter(None, (str(call.get("question")), str(call.get("episode"))[:8], str(call.get("agent")))))
    verdict = call.get("verdict") or call.get("outcome")
    why = ", ".join(filter(None, (str(call.get("rule") or ""), f"by {call['by']}" if call.get("by") else "")))
    line = f"{call['n']:>6} {str(call['time'])[:19]} {who} turn {call.get('turn')}: {verdict} {call.get('tool')} "
    line += f"{what[:300]}{changed[:300]} -> {call['status']}" + (f" ({why})" if why else "")
    return " ".join(line.splitlines())

"""Defines the command `axpo`: finds the subcommand, runs it, and turns errors into one clear message."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from axpo.terminal.guarding import BAD_ARGUMENTS, guarded
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_envs.plumbing.extras import require_extra


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A subcommand; its module `axpo.commands.<name>` (hyphens as underscores) has `run(arguments) -> exit code`."""

    summary: str
    """What it does, for the overview."""
    trains: bool = True
    """Whether it needs the packages of the extra `train`."""


COMMANDS: Final = {
    "train": Command(summary="train a policy with AXPO or GRPO, or continue a run"),
    "sft": Command(summary="teach a policy what a scripted expert, or your own demonstrations, show it"),
    "eval": Command(summary="measure Pass@1, Pass@4 and every diagnostic on held-out questions"),
    "probe": Command(summary="ask a policy again from snapshots: call diversity, gain and harm of tools, forced calls"),
    "compare": Command(summary="train methods from the same start and compare them, or finished runs", trains=False),
    "plan": Command(summary="what a run will take before it begins: memory, tokens, time; 64 devices simulated"),
    "economy": Command(summary="what models achieve for what they cost, from their evaluations", trains=False),
    "audit": Command(summary="what any trainer's rollouts tell about acting: is it done, does it pay", trains=False),
    "policy": Command(summary="check permissions, and what they would say of recorded calls", trains=False),
    "audit-log": Command(summary="verify, show and query the log of every decision about a call", trains=False),
    "view": Command(summary="show runs in a browser while they train, or write their reports", trains=False),
    "play": Command(summary="step through an environment by hand", trains=False),
    "serve-search": Command(summary="serve a corpus over the retrieval protocol of Search-R1 and verl", trains=False),
    "envs": Command(summary="list the environments and their tools", trains=False),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `axpo` with these arguments, by default those of the process; returns the exit code."""
    return guarded("axpo", arguments, lambda given: _run(given[0], given[1:]))


def _run(name: str, arguments: list[str]) -> int:
    if name in ("-h", "--help", "--version"):
        print(f"axpo {importlib.metadata.version('axpo')}" if name == "--version" else _overview())
        return 0
    command = COMMANDS.get(name)
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
        return _fail(f"unknown command {name!r}; {hint}", BAD_ARGUMENTS)
    if command.trains:
        require_extra("train", f"`axpo {name}`")
    # A first start compiles torch and its like, which takes minutes on a slow disk.
    with Heartbeat(lambda line: say(f"axpo: {line}")) as heartbeat:
        heartbeat.doing("loading packages")
        module = importlib.import_module(f"axpo.commands.{name.replace('-', '_')}")
    exit_code: int = module.run(arguments)
    return exit_code


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: axpo COMMAND [OPTIONS]",
            "",
            "Tool-using vision-language agents: environments, training, evaluation.",
            "",
            *lines,
            "",
            "`axpo COMMAND --help` lists the options of one. --debug (or AXPO_DEBUG=1) shows where an error came from.",
        ]
    )


def _fail(message: str, code: int) -> int:
    say(f"axpo: {message}")
    return code


if __name__ == "__main__":
    sys.exit(main())

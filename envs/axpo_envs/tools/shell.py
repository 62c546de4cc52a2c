"""Defines the tool `shell`: commands in a sandbox, with a working folder that belongs to the episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from axpo_envs.backends.commands._build import build_tree
from axpo_envs.backends.commands.limits import DEFAULT_LIMITS, CommandLimits
from axpo_envs.backends.commands.outcomes import FOLDER, Command, Ending, Outcome
from axpo_envs.backends.commands.runner import CommandRunner, standard_environment
from axpo_envs.backends.commands.trees import FileTree
from axpo_envs.backends.python_sandbox.report import Isolation
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.printable import printable
from axpo_envs.plumbing.surrogates import has_surrogates
from axpo_envs.tool._arguments import the_text
from axpo_envs.tool.protocol import Effects, ToolContext, ToolError, ToolTimeout
from axpo_envs.tool.start import Start
from axpo_envs.types import Question, ToolResult, ToolStatus

_MOST_CHARS: Final = 20_000
_UNKEPT: Final = frozenset(("_", "SHLVL", "PWD"))
"""Variables that the shell sets itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellState:
    """A working folder, and what a shell remembers from command to command."""

    tree: FileTree
    """The files."""
    cwd: str = FOLDER
    """The folder that the next command starts in."""
    environment: tuple[tuple[str, str], ...] = ()
    """The exported variables, ordered by name."""


class ShellTool:
    """Executes commands of a shell (bash where there is one) in a sandbox.

    Files of the working folder, the folder that a command ends in and the variables that it exports stay from call to
    call; they are the tool's state, as data: branches share what they did not change, and never see each other. All
    else ends with the call: processes, files in `/tmp`, functions, variables that are not exported.

    A command sees the system's programs and this installation of Python, to read, its folder and `/tmp`, to write, and
    nothing else of the machine. There is no network.

    | a command | status | the folder afterwards |
    |---|---|---|
    | ends with code 0 | `OK` | as it left it |
    | ends with another code | `ERROR` | as it left it |
    | runs past the limit on time | `TIMEOUT` | as before |
    | leaves more files or bytes than are kept | `ERROR` | as before |

    Args:
        files: what an episode starts with: a mapping from paths to text or bytes, a `pathlib.Path` of a folder, a
            `FileTree`, or a picklable function that makes one of these of the question; None takes the question's
            column of the tool's name, and an empty folder where it has none.
        limits: how much a command may use.
        environment: variables beside PATH, HOME, LANG and TZ.
        name: what the policy calls it by.
        isolation: `bubblewrap` or `namespaces`; None for what can be had.

    Raises:
        EnvConfigError: no sandbox can be had here, a setting is unusable, or the files are too many.
    """

    def __init__(
        self,
        files: Any | Callable[[Question], Any] = None,
        *,
        limits: CommandLimits = DEFAULT_LIMITS,
        environment: Mapping[str, str] | None = None,
        name: str = "shell",
        isolation: Isolation | str | None = None,
    ) -> None:
        if not isinstance(limits, CommandLimits):
            raise EnvConfigError(f"limits: expected CommandLimits; got {brief(limits)}")
        if not (isinstance(name, str) and name):
            raise EnvConfigError(f"name: expected a text; got {brief(name)}")
        self._name = name
        self._limits = limits
        self._environment = _read_environment(environment or {})
        fixed = Start(given=files, column=name).is_fixed
        self._start = Start(given=build_tree(files, limits) if fixed else files, column=name)
        self._isolation = isolation
        self._runner = CommandRunner(limits, isolation)

    @property
    def name(self) -> str:
        """`shell`, or as it was named."""
        return self._name

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        limits = self._limits
        return (
            "Executes a command in a shell on Linux. Files of the working folder, the current folder and exported "
            "variables stay between calls; processes and files in /tmp do not. No network. A command may take "
            f"{limits.seconds:g} s; one that takes more is stopped, and the folder is as before it."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {"command": {"type": "string", "description": "The command, of one or several lines."}},
            "required": ["command"],
            "additionalProperties": False,
        }

    @property
    def effects(self) -> Effects:
        """Stateful: the folder."""
        return Effects.STATEFUL

    @property
    def timeout_s(self) -> float | None:
        """None: it keeps its limit itself (`CommandLimits.seconds`)."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of what it starts with, its limits and its variables; which programs there are is not in it."""
        fixed = self._start.given.digest if self._start.is_fixed else ""
        return f"shell-1/{digest_of(self._start.described, fixed, repr(self._limits), self._environment)[:16]}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"command": str}`.

        Raises:
            ToolArgumentError: the command is missing, no text or too long, or there is another argument.
        """
        return {"command": the_text(arguments, "command", most=_MOST_CHARS, of="command")}

    def initial_state(self, question: Question) -> ShellState:
        """The files of the question.

        Raises:
            EnvConfigError: they cannot be made of what the question gives.
        """
        given = self._start.of(question)
        tree = given if self._start.is_fixed else build_tree(given, self._limits)
        environment = standard_environment() | dict(self._environment)
        return ShellState(tree=tree, environment=tuple(sorted(environment.items())))

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Executes the command.

        Raises:
            InfrastructureFault: the sandbox failed.
        """
        del context
        outcome = self._execute(arguments, state)
        return _result(outcome, self._limits), _after(outcome, state)

    def preview(self, arguments: Mapping[str, Any], state: Any) -> str:
        """Which files the command would change: it is executed on a copy that is thrown away.

        Raises:
            ToolTimeout: it would take too long.
            ToolError: it would leave more than is kept.
            InfrastructureFault: the sandbox failed.
        """
        outcome = self._execute(arguments, state)
        if outcome.ending is Ending.TIMEOUT:
            raise ToolTimeout.after(self._limits.seconds)
        if outcome.ending is Ending.TOO_MUCH:
            raise ToolError(f"the folder could not be kept: {outcome.note}")
        changes = outcome.tree.changes_from(state.tree)
        return "\n".join((f"would end with code {outcome.code}", *(changes or ("would change no file",))))

    def _execute(self, arguments: Mapping[str, Any], state: ShellState) -> Outcome:
        command = Command(
            text=arguments["command"], tree=state.tree, cwd=state.cwd, environment=dict(state.environment)
        )
        return self._runner.run(command)

    def __reduce__(self) -> tuple[Any, ...]:
        settings = {"limits": self._limits, "environment": dict(self._environment), "name": self._name}
        return _rebuild, (self._start.given, {**settings, "isolation": self._isolation})


def _rebuild(files: Any, settings: dict[str, Any]) -> ShellTool:
    return ShellTool(files, **settings)


def _read_environment(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if not isinstance(given, Mapping):
        raise EnvConfigError(f"environment: expected a mapping from names to texts; got {brief(given)}")
    for name, value in given.items():
        texts = isinstance(name, str) and isinstance(value, str)
        if not texts or not name or "=" in name or "\x00" in f"{name}{value}" or has_surrogates(f"{name}{value}"):
            raise EnvConfigError(f"environment: expected names and texts; got {brief(name)}: {brief(value)}")
    return tuple(sorted(given.items()))


def _after(outcome: Outcome, state: ShellState) -> ShellState:
    if outcome.ending is not Ending.DONE:
        return state
    environment = state.environment
    if outcome.environment is not None:
        kept = ((name, value) for name, value in outcome.environment.items() if name not in _UNKEPT)
        environment = tuple(sorted(kept))
    tree = state.tree if outcome.tree == state.tree else outcome.tree
    return replace(state, tree=tree, cwd=outcome.cwd, environment=environment)


def _result(outcome: Outcome, limits: CommandLimits) -> ToolResult:
    text = printable(outcome.output)
    status = ToolStatus.OK
    match outcome.ending:
        case Ending.TIMEOUT:
            status, note = (
                ToolStatus.TIMEOUT,
                f"[Stopped after {limits.seconds:g} s. The folder is as before this call.]",
            )
        case Ending.TOO_MUCH:
            status, note = ToolStatus.ERROR, f"[The folder is as before this call: {outcome.note}.]"
        case _ if outcome.code:
            killed = f", killed by signal {-outcome.code}" if outcome.code < 0 else ""
            status, note = ToolStatus.ERROR, f"[exit code {outcome.code}{killed}]"
        case _:
            note = "" if text else "(no output)"
    separator = "\n" if text and note and not text.endswith("\n") else ""
    return ToolResult(status=status, content=(f"{text}{separator}{note}",))

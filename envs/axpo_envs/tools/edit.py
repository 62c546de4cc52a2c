"""Defines the tool `edit`: views and changes the files of a small repository, and runs its tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from axpo_envs.backends.commands._build import build_tree, excess
from axpo_envs.backends.commands.edits import (
    Edited,
    EditError,
    create_file,
    difference,
    insert_text,
    lines_of,
    read_text,
    replace_text,
    show_edit,
    show_folder,
    show_lines,
)
from axpo_envs.backends.commands.limits import DEFAULT_LIMITS, CommandLimits
from axpo_envs.backends.commands.outcomes import Command, Ending
from axpo_envs.backends.commands.runner import CommandRunner, standard_environment
from axpo_envs.backends.commands.trees import EntryKind, FileTree
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.printable import printable
from axpo_envs.tool.protocol import Effects, ToolContext, ToolError
from axpo_envs.tool.start import Start
from axpo_envs.tools._edit_arguments import ACTIONS, read_edit
from axpo_envs.types import Question, ToolResult, ToolStatus

_PYTEST: Final = "python -m pytest -q -p no:cacheprovider"


class EditTool:
    """Views and changes text files of a repository, and runs its tests.

    | action | does |
    |---|---|
    | `view` | shows a file with the numbers of its lines, or a part of it, or what is in a folder |
    | `replace` | replaces a text that stands in a file exactly once |
    | `insert` | inserts lines after a line |
    | `create` | makes a new file |
    | `test` | executes the repository's tests in a sandbox, on a copy: what they write is lost |

    The repository is the tool's state, as data: branches share what they did not change. Paths lead from its top folder
    down; those that leave it are refused, and symbolic links are not followed.

    Args:
        files: what an episode starts with: a mapping from paths to text or bytes, a `pathlib.Path` of a folder, a
            `FileTree`, or a picklable function that makes one of these of the question; None takes the question's
            column of the tool's name, and an empty repository where it has none.
        test_command: what executes the tests, in a shell in the top folder; None for a repository without.
        limits: how much the repository may hold, and its tests may use.
        shown_chars: characters that are shown of a file, and of what tests write.
        name: what the policy calls it by.

    Raises:
        EnvConfigError: there are tests and no sandbox can be had here, a setting is unusable, or files are too many.
    """

    def __init__(
        self,
        files: Any | Callable[[Question], Any] = None,
        *,
        test_command: str | None = _PYTEST,
        limits: CommandLimits = DEFAULT_LIMITS,
        shown_chars: int = 10_000,
        name: str = "edit",
    ) -> None:
        if not isinstance(limits, CommandLimits):
            raise EnvConfigError(f"limits: expected CommandLimits; got {brief(limits)}")
        if not (isinstance(name, str) and name):
            raise EnvConfigError(f"name: expected a text; got {brief(name)}")
        if test_command is not None and not (isinstance(test_command, str) and test_command.strip()):
            raise EnvConfigError(f"test_command: expected a command or None; got {brief(test_command)}")
        if not isinstance(shown_chars, int) or isinstance(shown_chars, bool) or shown_chars < 1:
            raise EnvConfigError(f"shown_chars: expected an integer above 0; got {brief(shown_chars)}")
        self._settings = {"test_command": test_command, "limits": limits, "shown_chars": shown_chars, "name": name}
        self._name, self._limits, self._shown, self._test = name, limits, shown_chars, test_command
        fixed = Start(given=files, column=name).is_fixed
        self._start = Start(given=build_tree(files, limits) if fixed else files, column=name)
        self._runner = None if test_command is None else CommandRunner(limits)

    @property
    def name(self) -> str:
        """`edit`, or as it was named."""
        return self._name

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        tests = "" if self._test is None else " test: runs the repository's tests."
        return (
            "Views and changes text files of a repository. view: shows a file with line numbers (first and last for a "
            "part of it), or what is in a folder. replace: replaces old, which must stand in the file exactly once, by "
            f"new. insert: puts text after line (0: before the first). create: makes a new file.{tests}"
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        texts = {
            "path": "From the repository's top folder; without it view shows that folder.",
            "old": "replace: the text that stands in the file, with its white space.",
            "new": "replace: what stands there instead.",
            "text": "insert, create: the text.",
        }
        numbers = {
            "first": "view: the first line.",
            "last": "view: the last line.",
            "line": "insert: after which line.",
        }
        return {
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": list(self._actions)},
                **{name: {"type": "string", "description": about} for name, about in texts.items()},
                **{name: {"type": "integer", "description": about} for name, about in numbers.items()},
            },
            "required": ["action"],
            "additionalProperties": False,
        }

    @property
    def effects(self) -> Effects:
        """Stateful: the repository."""
        return Effects.STATEFUL

    @property
    def timeout_s(self) -> float | None:
        """None: tests keep their own limit (`CommandLimits.seconds`)."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of what it starts with, its tests and its limits."""
        fixed = self._start.given.digest if self._start.is_fixed else ""
        deciding = (self._start.described, fixed, self._test, repr(self._limits), self._shown)
        return f"edit-1/{digest_of(*deciding)[:16]}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The action with its own arguments.

        Raises:
            ToolArgumentError: there is no such action, one of its arguments is missing or does not fit, or the path
                leaves the repository.
        """
        return read_edit(arguments, self._actions)

    def initial_state(self, question: Question) -> FileTree:
        """The question's repository.

        Raises:
            EnvConfigError: it cannot be made of what the question gives.
        """
        given = self._start.of(question)
        return given if self._start.is_fixed else build_tree(given, self._limits)

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Does what was asked for.

        Raises:
            ToolError: it cannot be done; the message says why.
            InfrastructureFault: the sandbox of the tests failed.
        """
        del context
        action = arguments["action"]
        if action == "test":
            return self._run_tests(state), state
        if action == "view":
            return ToolResult(content=(self._view(state, arguments),)), state
        edited = self._edit(arguments, state)
        done = {"replace": "replaced in", "insert": "inserted into", "create": "created"}[action]
        text = f"{done} {arguments['path']}:\n{show_edit(edited, arguments['path'])}"
        return ToolResult(content=(_cut(text, self._shown),)), edited.tree

    def preview(self, arguments: Mapping[str, Any], state: Any) -> str:
        """What would change, as a unified diff.

        Raises:
            ToolError: it could not be done.
        """
        if arguments["action"] in ("view", "test"):
            return "would change nothing"
        edited = self._edit(arguments, state)
        return _cut(difference(state, edited.tree, arguments["path"]), self._shown)

    @property
    def _actions(self) -> tuple[str, ...]:
        return tuple(name for name in ACTIONS if name != "test" or self._test is not None)

    def _view(self, tree: FileTree, arguments: Mapping[str, Any]) -> str:
        path, first = arguments["path"], arguments.get("first", 1)
        entry = tree.find(path) if path else None
        if not path or (entry is not None and entry.kind is EntryKind.FOLDER):
            return show_folder(tree, path)
        try:
            text = read_text(tree, path)
        except EditError as error:
            raise ToolError(str(error)) from None
        count = len(lines_of(text))
        if not count:
            return "(an empty file)"
        if first > count:
            raise ToolError(f"first must be at most {count}, the lines of {path}; got {first}")
        last = min(count, arguments.get("last", count))
        return _cut(show_lines(text, first, last), self._shown)

    def _edit(self, arguments: Mapping[str, Any], tree: FileTree) -> Edited:
        path = arguments["path"]
        try:
            match arguments["action"]:
                case "replace":
                    edited = replace_text(tree, path, arguments["old"], arguments["new"])
                case "insert":
                    edited = insert_text(tree, path, arguments["line"], arguments["text"])
                case _:
                    edited = create_file(tree, path, arguments["text"])
        except EditError as error:
            raise ToolError(str(error)) from None
        if problem := excess(edited.tree, self._limits):
            raise ToolError(f"the repository would be too large: {problem}")
        return edited

    def _run_tests(self, tree: FileTree) -> ToolResult:
        assert self._runner is not None
        assert self._test is not None
        outcome = self._runner.run(Command(text=self._test, tree=tree, environment=standard_environment()))
        if outcome.ending is Ending.TIMEOUT:
            status, end = ToolStatus.TIMEOUT, f"[Stopped after {self._limits.seconds:g} s.]"
        else:
            status = ToolStatus.ERROR if outcome.code else ToolStatus.OK
            end = f"[exit code {outcome.code}]"
        text = _cut(printable(outcome.output), self._shown)
        separator = "" if not text or text.endswith("\n") else "\n"
        return ToolResult(status=status, content=(f"{text}{separator}{end}",))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._start.given, self._settings)


def _rebuild(files: Any, settings: dict[str, Any]) -> EditTool:
    return EditTool(files, **settings)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}\n... ({len(text) - most} further characters are not shown)"

"""Defines `inspect_sandbox_tool`: a sandbox of inspect_ai (docker, local, k8s, ...) as a tool of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from axpo_envs.adapters.sessions import Reply, SessionTool
from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.extras import requiring
from axpo_envs.tool.protocol import ToolError

_MOST_CHARACTERS = 20_000


def inspect_sandbox_tool(
    provider: str,
    *,
    name: str = "bash",
    config: str | None = None,
    deterministic: bool = False,
    timeout_s: int = 60,
    sandboxes: int = 16,
) -> SessionTool:
    """A shell in a sandbox of inspect_ai's, one for each episode, as a tool for any environment of ours.

    A sandbox keeps its files from call to call; its processes end with the call. A branch gets a fresh sandbox in which
    the commands before it are run again, and what they print is compared; without `deterministic` an episode whose
    sandbox went on cannot be gone on with from earlier, which is a `RewindFault`, never a score.

    Args:
        provider: the sandbox's type in inspect_ai, such as `docker`. `local` isolates nothing: for tests alone.
        name: what the policy calls the tool.
        config: the provider's configuration file.
        deterministic: equal commands always print the same.
        timeout_s: seconds that a command may take.
        sandboxes: how many there are at a time.
    """
    return SessionTool(
        name=name,
        description=(
            "Runs a command with bash in a sandbox that keeps its files between calls, and shows what it prints. A "
            f"command may take {timeout_s} s."
        ),
        parameters={
            "type": "object",
            "properties": {"command": {"type": "string", "description": "The command."}},
            "required": ["command"],
            "additionalProperties": False,
        },
        opens=partial(_SandboxSession, provider=provider, config=config, timeout_s=timeout_s),
        deterministic=deterministic,
        most_sessions=sandboxes,
        numbered=False,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _SandboxSession:
    """A sandbox; it is made by the first reset, and made anew by every further one."""

    provider: str
    config: str | None
    timeout_s: int
    environments: Any = None

    def reset(self, number: int) -> Reply:
        del number
        self.close()
        with requiring("inspect-ai", "a sandbox of inspect_ai"):
            from inspect_ai.util._sandbox.registry import registry_find_sandboxenv
        kind = registry_find_sandboxenv(self.provider)

        async def make() -> Any:
            return await kind.sample_init("axpo", self.config, {})

        self.environments = _asked(make())
        return Reply(parts=())

    def act(self, arguments: Mapping[str, Any]) -> Reply:
        command = arguments["command"]
        if not isinstance(command, str):
            raise ToolError("command must be a string")
        sandbox = next(iter(self.environments.values()))
        try:
            result = _asked(sandbox.exec(["bash", "-c", command], timeout=self.timeout_s, timeout_retry=False))
        except TimeoutError:
            return Reply(parts=(f"[Stopped: the command took more than {self.timeout_s} s.]",))
        printed = result.stdout + result.stderr
        if len(printed) > _MOST_CHARACTERS:
            printed = f"{printed[:_MOST_CHARACTERS]}\n[{len(printed) - _MOST_CHARACTERS} characters more]"
        ended = "" if result.success else f"\n[exit code {result.returncode}]"
        return Reply(parts=((printed or "(no output)") + ended,))

    def close(self) -> None:
        if self.environments is None:
            return
        made, self.environments = self.environments, None
        kind = type(next(iter(made.values())))

        async def end() -> None:
            await kind.sample_cleanup("axpo", self.config, made, False)

        _asked(end())


def _asked(coroutine: Any) -> Any:
    try:
        return run_coroutine(coroutine)
    except TimeoutError:
        raise
    except Exception as error:
        raise InfrastructureFault(f"inspect_ai's sandbox failed: {error!r}") from error

"""Defines `TurnHarness`: a seat of verifiers that asks the model for one turn of text at a time, in this process."""

from __future__ import annotations

import sys
from typing import Any, Final

from axpo_envs.plumbing.extras import requiring

with requiring("verifiers", "a harness of verifiers"):
    import httpx
    import verifiers.v1 as vf
    from verifiers.v1.dialects.chat import message_to_wire


__all__ = ["TurnHarness"]

HARNESS_ID: Final = "axpo_turn_harness"
"""What verifiers' settings call it: a harness is named by a module without dots."""
sys.modules.setdefault(HARNESS_ID, sys.modules[__name__])


class TurnHarnessConfig(vf.HarnessConfig):  # type: ignore[misc]  # the library is not typed for us
    """Its settings; there are none of its own."""


class TurnHarness(vf.Harness[TurnHarnessConfig]):  # type: ignore[misc]
    """Sends the conversation to the model, and yields its turn: no tools, no program, nothing is executed.

    Calls that the model writes into its text are for the environment to read.
    """

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(  # noqa: PLR0913, PLR0917  # verifiers gives so many
        self, ctx: Any, trace: Any, runtime: Any, endpoint: str, secret: str, mcp_urls: Any, data: Any
    ) -> Any:
        """Asks for one turn.

        Returns:
            A result of a program that went well: the turn stands in the trace.
        """
        del trace, runtime, mcp_urls
        system, prompt = self.resolve_prompt(data)
        messages = [{"role": "system", "content": system}] if system else []
        if isinstance(prompt, str):
            messages.append({"role": "user", "content": prompt})
        else:
            messages += [message_to_wire(message) for message in prompt or []]
        # Whoever samples may take its time; verifiers has limits of its own.
        async with httpx.AsyncClient(timeout=None) as client:
            answer = await client.post(
                f"{endpoint.rstrip('/')}/chat/completions",
                headers={"Authorization": f"Bearer {secret}"},
                json={"model": ctx.model, "messages": messages},
            )
        answer.raise_for_status()
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")

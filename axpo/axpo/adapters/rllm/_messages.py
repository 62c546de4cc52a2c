"""Defines how prompts become rLLM's messages, and the output of its engines a turn of ours."""

from __future__ import annotations

from typing import Any

from axpo_envs.adapters.messages import images_of, turn_of_message
from axpo_envs.env import ToolEnv
from axpo_envs.errors import InfrastructureFault
from axpo_envs.types import EpisodeState, Parts


def opening(env: ToolEnv, state: EpisodeState) -> list[dict[str, Any]]:
    """The messages an episode begins with: instructions, where there are any, and the question."""
    system = [{"role": "system", "content": env.instructions}] if env.instructions else []
    return [*system, user_message(env.opening(state))]


def user_message(parts: Parts) -> dict[str, Any]:
    """Text, and Pillow images beside it: rLLM's parsers take no list as content, and put a message's images first."""
    text = "".join(part for part in parts if isinstance(part, str))
    images = [image.to_pil() for image in images_of(parts)]
    return {"role": "user", "content": text} | ({"images": images} if images else {})


def turn_of(output: Any) -> str:
    """What the policy wrote.

    Engines that sample tokens tell it as text; a chat server (`OpenAIEngine` without a tokenizer) tells calls and
    thinking apart from it, so that its text alone would be a turn without calls.

    Args:
        output: a `ModelOutput`.

    Raises:
        InfrastructureFault: the engine broke the turn off, for instance to take new weights.
    """
    if output.finish_reason in {"abort", "aborted"}:
        raise InfrastructureFault("rLLM's engine broke off a turn before its end")
    if output.completion_ids or not (output.content or output.reasoning or output.tool_calls):
        return output.text or ""
    calls = [_call(call) for call in output.tool_calls or ()]
    return turn_of_message({"content": output.content, "reasoning": output.reasoning, "tool_calls": calls})


def is_cut_off(output: Any, limit: int | None) -> bool:
    """Whether a turn hit its token limit, which some engines report as an ordinary end.

    Args:
        output: a `ModelOutput`.
        limit: tokens a turn may have, where it is known.
    """
    return output.finish_reason == "length" or (limit is not None and len(output.completion_ids or ()) >= limit)


def has_seen_none(output: Any, messages: list[dict[str, Any]]) -> bool:
    """Whether an engine that tells its tokens shows no trace of the messages' images."""
    if not output.completion_ids or not any(message.get("images") for message in messages):
        return False
    return not output.multi_modal_inputs and all(isinstance(token, int) for token in output.prompt_ids or ())


def _call(call: Any) -> dict[str, Any]:
    # OpenAI's object nests the function, rLLM's does not; where the arguments were no JSON only the raw text has them.
    function = getattr(call, "function", call)
    return {"name": function.name, "arguments": getattr(function, "arguments_raw", None) or function.arguments}

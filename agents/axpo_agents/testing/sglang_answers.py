"""Defines `answer_generate`: what SGLang answers to `/generate`, from a policy of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo_agents.testing.batch import Batch
from axpo_agents.testing.served_prompt import ServedPrompt, ServedTurn, read_image
from axpo_agents.testing.served_weights import RefusedError, ServedWeights


def answer_generate(weights: ServedWeights, body: Mapping[str, Any], batch: Batch | None) -> Any:
    """The turns: an object where one is asked for, else a list of them.

    Args:
        weights: what it samples with.
        body: the request.
        batch: samples as the policy does; None takes a plain forward pass for every token.

    Raises:
        RefusedError: what SGLang would not take.
    """
    told = body["sampling_params"]
    ids, images = body["input_ids"], body.get("image_data") or []
    if told["n"] > 1 and images:
        if len(images) != 1 or not isinstance(images[0], list):
            raise RefusedError("The length of image_data should be equal to the batch size.")
        images = images[0]
    sampling = {
        **told,
        "max_tokens": told["max_new_tokens"],
        # Turns of one request share its seed where sampling is deterministic; else it is not read.
        "seed": told["sampling_seed"],
        "top_k": max(0, told["top_k"]),
    }
    prompt = ServedPrompt(weights.adapted(body.get("lora_path")), ids, tuple(read_image(url) for url in images))
    inputs = []
    if body["logprob_start_len"] == 0:
        inputs = [[value, token, None] for value, token in zip([None, *prompt.scores()], prompt.ids, strict=True)]
    turns = [_told(turn, prompt, weights.version, inputs) for turn in prompt.turns(sampling, batch)]
    return turns if told["n"] > 1 else turns[0]


def _told(turn: ServedTurn, prompt: ServedPrompt, version: str, inputs: list[Any]) -> dict[str, Any]:
    length = len(turn.ids)
    stopped = {"type": "stop", "matched": turn.ids[-1]}
    rows = zip(turn.logprobs, turn.ids, strict=True)
    return {
        "text": "",
        "output_ids": turn.ids,
        "prompt_token_ids": prompt.ids,
        "meta_info": {
            "finish_reason": stopped if turn.finish == "stop" else {"type": "length", "length": length},
            "prompt_tokens": len(prompt.ids),
            "completion_tokens": length,
            "weight_version": version,
            "input_token_logprobs": inputs,
            "output_token_logprobs": [[value, token, None] for value, token in rows],
            "output_top_logprobs": [[[value, token, None] for token, value in row.items()] for row in turn.top],
        },
    }

"""Defines SGLang's own wire form: `write_generate`, a request to `/generate`, and `read_generate`, what it answered.

Unlike its `/v1/completions`, which names tokens by their texts, it takes images beside token ids and names every token
by its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axpo_agents.errors import PolicyError
from axpo_agents.remote._messages import Answer, AnswerError, Choice, Request
from axpo_agents.remote._wire import TOP, UNREADABLE, Message, data_url, log_probability, token_id
from axpo_agents.types import WHOLE


def write_generate(request: Request, adapters: str | None) -> Message:
    """The request as `/generate` understands it. Everything that shapes the distribution is stated.

    Args:
        request: what is asked.
        adapters: the name of LoRA adapters that are loaded; None is the model alone.

    Raises:
        PolicyError: the distribution is truncated: SGLang tells log-probabilities of the whole one.
    """
    if request.truncation != WHOLE:
        raise PolicyError(
            "expected the whole distribution (top_k 0, top_p 1): SGLang samples from a truncated one, but tells "
            f"log-probabilities of the whole; got {request.truncation}"
        )
    sampling = {
        "n": request.count,
        "max_new_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": request.presence_penalty,
        "sampling_seed": request.seed,
        "logit_bias": {str(token): bias for token, bias in request.bias.items()},
        "stop_token_ids": list(request.stop_ids),
    }
    body: dict[str, Any] = {
        "input_ids": list(request.ids),
        "sampling_params": sampling,
        "return_logprob": True,
        "top_logprobs_num": TOP,
        "logprob_start_len": 0 if request.scored else -1,
        "return_prompt_token_ids": True,
    }
    if request.images:
        images = [data_url(image) for image in request.images]
        # Several turns make SGLang read a list as one image for each prompt.
        body["image_data"] = [images] if request.count > 1 else images
    if adapters is not None:
        body["lora_path"] = adapters
    return Message("/generate", body)


def read_generate(data: Any, request: Request) -> Answer:
    """What SGLang answered: an object, or a list of them where several turns were asked for.

    Raises:
        AnswerError: ids or log-probabilities are missing, or there are not as many turns as were asked for.
    """
    turns = data if isinstance(data, list) else [data]
    if len(turns) != request.count:
        raise AnswerError(f"has {len(turns)} turns; expected {request.count}")
    try:
        told = turns[0].get("prompt_token_ids")
        return Answer(
            choices=tuple(_choice(turn) for turn in turns),
            prompt_ids=None if told is None else tuple(map(token_id, told)),
            prompt_logprobs=_prompt_logprobs(turns[0], request) if request.scored else None,
            versions=tuple(sorted({version for turn in turns for version in _versions(turn["meta_info"])})),
        )
    except UNREADABLE as error:
        raise AnswerError(f"cannot be read ({type(error).__name__}: {error})") from error


def _choice(turn: Mapping[str, Any]) -> Choice:
    told = turn["meta_info"]
    rows = told.get("output_token_logprobs")
    if not rows:
        raise AnswerError(f"has no log-probabilities; it ended with {told['finish_reason']!r:.200}")
    ids = tuple(token_id(row[1]) for row in rows)
    if ids != tuple(turn["output_ids"]):
        raise AnswerError(f"has log-probabilities of {len(ids)} other tokens than its {len(turn['output_ids'])}")
    return Choice(
        ids=ids,
        logprobs=tuple(log_probability(row[0]) for row in rows),
        top=tuple(sorted((float(row[0]) for row in told["output_top_logprobs"][0]), reverse=True)),
        finish=str(told["finish_reason"]["type"]),
    )


def _versions(told: Mapping[str, Any]) -> Sequence[str]:
    """Newer versions tell spans of tokens, where weights changed within a turn."""
    spans = [str(span["version"]) for span in told.get("weight_versions") or ()]
    version = told.get("weight_version")
    return spans or ([] if version is None else [str(version)])


def _prompt_logprobs(turn: Mapping[str, Any], request: Request) -> tuple[float, ...] | None:
    """Nothing comes before the first token, so it has none."""
    rows = turn["meta_info"].get("input_token_logprobs") or ()
    if len(rows) < len(request.ids):
        return None
    return tuple(log_probability(row[0]) for row in rows[1:])

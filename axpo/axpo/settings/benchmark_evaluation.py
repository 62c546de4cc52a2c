"""Defines the settings of an evaluation on benchmarks; their defaults are the protocol of AXPO's paper."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Final

import tyro

from axpo.settings.model import ModelConfig
from axpo.settings.values import Count, CountOrNone, Name, NonNegative, Nucleus, Number

ALL: Final = "all"
"""Stands for every benchmark that is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolConfig:
    """How a model is asked. The defaults are the paper's: arXiv:2605.28774, evaluation."""

    samples: Count = 4
    """Rollouts per question; Pass@4 needs at least 4."""
    temperature: NonNegative = 0.7
    """Sampling temperature; 0 takes the most probable tokens."""
    top_p: Nucleus = 0.8
    """Tokens are drawn from the fewest most probable ones that have at least this probability together."""
    top_k: CountOrNone = 20
    """Tokens are drawn from so many most probable ones; 0 is all."""
    presence_penalty: Number = 1.5
    """Taken from the logits of tokens that a turn has written before."""
    max_turns: CountOrNone = 5
    """Turns that may call tools; one more is left to answer."""
    max_turn_tokens: Count = 32768
    """Token limit of one turn."""
    max_episode_tokens: Count = 49152
    """Token limit of an episode, prompt, images and observations included: 32,768 and room for what is read."""
    view_size: Count | None = None
    """Longer side in pixels to which larger images are reduced for the policy; by default they are as they are."""
    tools: tuple[Name, ...] = ("paper",)
    """The tools: `paper` (Python, zooming, and the search where there is one), `python`, `image_zoom_in`, `search`,
    `image_search:FOLDER`, `image_search:URL`, `none`, package.module:name."""
    unseen_tools: tuple[Name, ...] = ()
    """Further tools, which the model was not trained with, for a second arm that has them, too."""
    without_tools: bool = False
    """Ask everything without tools, too: what tools gain and harm, rollout by rollout."""
    search: Name | None = None
    """What `search` searches: the path of a corpus, `http://...` of a retrieval server, `tavily`, package.module:name.
    The search benchmarks need it, unless the tools say otherwise."""
    seed: CountOrNone = 0
    """Seeds the sampling."""

    @property
    def preset(self) -> str:
        """`paper` where nothing that shapes a rollout differs from it; else `custom`."""
        free = ("unseen_tools", "without_tools", "search", "seed")
        same = all(getattr(self, one.name) == one.default for one in fields(self) if one.name not in free)
        return "paper" if same else "custom"

    def as_record(self) -> dict[str, Any]:
        """The form in which JSON files hold it, with the preset's name."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"preset": self.preset, **plain}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkEvalConfig:
    """An evaluation of a model on published benchmarks."""

    model: Annotated[Name, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL_OR_URL")]
    """A run's folder, a checkpoint's folder, `tiny`, a Hugging Face id, the address of a server such as
    `http://host:8000/v1`, or `package.module:NAME` of an agent that writes text."""
    benchmark: tuple[Name, ...]
    """Benchmarks by name, or `all`: those that are found."""
    benchmark_path: Name
    """The files of the benchmark; of several, a folder that holds a folder of each, named after it."""
    slice: Name | None = None
    """Which part of them; by default what the paper reports."""
    questions: Count | None = None
    """The first so many questions of each alone, to try things out."""
    out: Name | None = None
    """The folder of the evaluation; by default below `evaluations`, named after the model."""
    tokenizer: Name | None = None
    """With a server: the checkpoint that it runs, to exchange token ids (docs/remote-policy.md). Without one the server
    is asked by messages (`/v1/chat/completions`), as any OpenAI-compatible one can be."""
    served_model: Name | None = None
    """With messages: the model's name at the server."""
    key_variable: Name | None = None
    """With a server: the environment variable that holds its key."""
    revision: Name | None = None
    """What tells the model's weights, for a server's model."""
    judge: Name | None = None
    """Decides where rules do not (VisualProbe, HR-MMSearch, Math-VR): the address of an OpenAI-compatible server, as
    `http://host:8000/v1`, or `package.module:name` of a function of question and answer; without one their figures are
    lower bounds."""
    judge_model: Name | None = None
    """With a judge's address: the model's name there."""
    judge_key_variable: Name | None = None
    """With a judge's address: the environment variable that holds its key."""
    workers: Count = 16
    """Questions that a server is asked at a time."""
    at_a_time: Count = 16
    """Questions whose rollouts a model in this process samples together."""
    protocol: Annotated[ProtocolConfig, tyro.conf.arg(name="")] = field(default_factory=ProtocolConfig)
    """How the model is asked."""
    policy: ModelConfig = field(default_factory=ModelConfig)
    """How a checkpoint is loaded; of no effect with a server."""

    @property
    def is_server(self) -> bool:
        """Whether the model runs behind a server."""
        return self.model.startswith(("http://", "https://"))

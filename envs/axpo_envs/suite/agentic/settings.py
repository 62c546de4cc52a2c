"""Defines `AgenticSettings`, the knobs of Agentic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import GovernedSettings
from axpo_envs.plumbing.knobs import check_range, check_split
from axpo_envs.questions.splits import Split
from axpo_envs.suite.agentic._families import FAMILIES

_RANGES: Final = (("max_turns", 0, 1000), ("view_size", 16, 8192), ("held_out", 1, 1_000_000))
_LARGEST_WEIGHT: Final = 1e9
"""Weights that cannot be added without loss would silently drop a family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgenticSettings(GovernedSettings):
    """The knobs of Agentic, all of them keyword arguments of `gymnasium.make`.

    Raises:
        EnvConfigError: a value is unusable, or the values do not fit each other; nothing has been read yet.
    """

    families: Any = None
    """Which questions are asked: a family's name, several, or a mapping from names to weights, by which they are drawn;
    None takes all of them, equally often. It becomes a mapping, empty with `questions`."""
    family_knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Knobs of the families' environments, by family: `{"visual_zoom": {"image_size": 4096}}`."""
    questions: Any = None
    """Rows of your own instead of families: what `axpo/ToolTask-v0` takes. They need `search`."""
    reward: Any = None
    """The reward of rows of your own, as `axpo/ToolTask-v0` takes it; None compares exactly."""
    search: Any = None
    """What `search` searches: `bm25`, `dense:FOLDER` or `hybrid:FOLDER` over the library of MultiHopSearch, the path of
    a corpus, `http://...` of a retrieval server, `tavily`, `package.module:name`, or a `SearchBackend`. None is `bm25`:
    that library holds what the families' questions ask for."""
    python: Any = None
    """A tool instead of the set's interpreter, such as a `PythonTool` with limits of its own."""
    split: str = Split.TRAIN
    """`train` (endless), `validation` or `test` (fixed); of rows of your own, those of that name."""
    max_turns: int = 3
    """Turns of an episode that may call tools: 3 is what the paper trains with, 5 what it evaluates with."""
    view_size: int = 320
    """Longer side in pixels at which a question's images are shown, at most; side of the crops. The families' images
    grow with it."""
    held_out: int = 1000
    """Questions of the validation split and of the test split; fewer are the first of more."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            check_range(name, getattr(self, name), int, low, high)
        if self.questions is None:
            self._check_families()
        else:
            self._check_rows()

    def _check_families(self) -> None:
        check_split(self.split, Split)
        if self.reward is not None:
            raise EnvConfigError("reward is that of questions of your own: expected questions beside it")
        weights = _weights(self.families)
        object.__setattr__(self, "families", weights)
        if not isinstance(self.family_knobs, Mapping):
            raise EnvConfigError(f"family_knobs must be a mapping from families to knobs; got {self.family_knobs!r}")
        for name, knobs in self.family_knobs.items():
            if name not in weights:
                raise EnvConfigError(f"family_knobs: expected some of {', '.join(weights)}; got {name!r}")
            if not isinstance(knobs, Mapping):
                raise EnvConfigError(f"family_knobs: expected a mapping of knobs for {name}; got {knobs!r:.100}")

    def _check_rows(self) -> None:
        if self.families or self.family_knobs:
            raise EnvConfigError("expected families or questions of your own; got both")
        if self.search is None:
            raise EnvConfigError(
                "questions of your own need search, what is searched for their answers: the path of a corpus "
                "('FILE.jsonl'), 'http://...' of a retrieval server, 'tavily', 'package.module:name' or a SearchBackend"
            )
        object.__setattr__(self, "families", {})


def _weights(given: Any) -> dict[str, float]:
    """The weights of families, in the order of the table."""
    if given is None:
        given = tuple(FAMILIES)
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Iterable):
        raise EnvConfigError(f"families must be names, or a mapping from names to weights; got {given!r:.100}")
    pairs = tuple(given.items()) if isinstance(given, Mapping) else tuple((name, 1.0) for name in given)
    for name, weight in pairs:
        if name not in tuple(FAMILIES):
            raise EnvConfigError(f"families must be some of {', '.join(FAMILIES)}; got {name!r:.100}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
            raise EnvConfigError(f"families: expected a positive weight for {name}; got {weight!r}")
        if weight > _LARGEST_WEIGHT:
            raise EnvConfigError(f"families: expected a weight of at most {_LARGEST_WEIGHT:g} for {name}; got more")
    if not pairs:
        raise EnvConfigError(f"families must be some of {', '.join(FAMILIES)}; got none")
    named = dict(pairs)
    return {name: float(named[name]) for name in FAMILIES if name in named}

"""Defines `MultiHopSearchSettings`, the knobs of MultiHopSearch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import GovernedSettings
from axpo_envs.plumbing.knobs import check_choice, check_range, check_split, some_of
from axpo_envs.questions.splits import Split
from axpo_envs.suite.multi_hop_search._corpus import Style
from axpo_envs.suite.multi_hop_search._plan import FEWEST_HOPS, QuestionKind
from axpo_envs.suite.multi_hop_search._walks import FINALS
from axpo_envs.suite.multi_hop_search.questions import HopQuestionSettings

_RANGES: Final = (
    ("corpus_size", 60, 30_000),
    ("max_turns", 1, 1000),
    ("top_k", 1, 10),
    ("extract_chars", 40, 10_000),
    ("held_out", 1, 1_000_000),
)
_HOPS: Final = (2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiHopSearchSettings(GovernedSettings):
    """The knobs of MultiHopSearch, all of them keyword arguments of `gymnasium.make`.

    Raises:
        EnvConfigError: a value is unusable, or the values do not fit each other; nothing has been read yet.
    """

    hops: tuple[int, ...] = _HOPS
    """Documents that questions need, out of 2, 3 and 4; all equally often."""
    kinds: tuple[str, ...] = tuple(kind.value for kind in QuestionKind)
    """Kinds of questions: `bridge` (from 2 hops), `comparison` and `intersection` (from 3 hops)."""
    split: str = Split.TRAIN
    """`train` (endless), `validation` or `test` (fixed)."""
    corpus_size: int = 12_000
    """Documents of the corpus, 60 to 30,000; the chemical elements are in corpora of 2,000 and more."""
    documents: str = Style.FULL
    """`full`; `short`: one plain sentence for each fact and nothing else; or `brief`: countries and cities alone, two
    to four facts each, for the embedded policy `tiny-search`."""
    answers: tuple[str, ...] | None = None
    """What questions ask for in the end, such as `("currency", "continent")`, all equally often; None for whatever
    documents tell, as often as it comes."""
    guess_rate: float | None = None
    """How often the answer is the one that documents tell most often of its sort (`answers` must name the sorts); None
    for as often as it comes."""
    search: Any = "bm25"
    """What the tools ask: see `docs/multi-hop-search.md`."""
    top_k: int = 3
    """Hits of a search that asks for no number; up to 10 may be asked for."""
    extract_chars: int = 400
    """Length of the extract of a hit."""
    max_turns: int = 10
    """Turns of an episode that may call tools."""
    held_out: int = 1000
    """Questions of the validation split and of the test split; fewer are the first of more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hops", some_of("hops", self.hops, _HOPS))
        object.__setattr__(self, "kinds", some_of("kinds", self.kinds, tuple(kind.value for kind in QuestionKind)))
        check_split(self.split, Split)
        check_choice("documents", self.documents, tuple(Style))
        for name, low, high in _RANGES:
            check_range(name, getattr(self, name), int, low, high)
        _check_answers(self)
        for hops in self.hops:
            if not any(FEWEST_HOPS[QuestionKind(kind)] <= hops for kind in self.kinds):
                raise EnvConfigError(
                    f"hops={self.hops} and kinds={self.kinds} do not fit: questions of {hops} hops are bridges"
                )

    @property
    def questions(self) -> HopQuestionSettings:
        """What decides the questions."""
        return HopQuestionSettings(
            split=Split(self.split),
            held_out=self.held_out,
            hops=self.hops,
            kinds=tuple(map(QuestionKind, self.kinds)),
            corpus_size=self.corpus_size,
            style=Style(self.documents),
            answers=self.answers,
            guess_rate=self.guess_rate,
        )


def _check_answers(settings: MultiHopSearchSettings) -> None:
    if settings.answers is not None:
        object.__setattr__(settings, "answers", some_of("answers", settings.answers, FINALS))
    if settings.guess_rate is None:
        return
    check_range("guess_rate", settings.guess_rate, float, 0, 1)
    if settings.answers is None:
        raise EnvConfigError(f"guess_rate={settings.guess_rate} needs answers: some of {', '.join(FINALS)}; got None")

"""Defines `PythonReasoningSettings`, the knobs of PythonReasoning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import GovernedSettings
from axpo_envs.plumbing.knobs import check_choice, check_range, check_split, some_of
from axpo_envs.questions.splits import Split
from axpo_envs.suite.python_reasoning.families import FAMILIES
from axpo_envs.suite.python_reasoning.questions import FigureQuestionSettings
from axpo_envs.suite.python_reasoning.written import WrittenQuestionSettings

EXPRESSIONS: Final = "expressions"
"""Names the tool that prints whole-number expressions and does no more."""

_RANGES: Final = (
    ("image_size", 320, 2048),
    ("max_turns", 1, 1000),
    ("held_out", 1, 1_000_000),
)


class QuestionsFrom(StrEnum):
    """Where the questions come from."""

    FIGURES = "figures"
    """This project's generators."""
    MATHVISION = "mathvision"
    """Files in the layout of MathVision."""
    WRITTEN = "written"
    """Sums whose numbers stand in the text: no figure, for the embedded policy `tiny-python`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonReasoningSettings(GovernedSettings):
    """The knobs of PythonReasoning, all of them keyword arguments of `gymnasium.make`.

    Raises:
        EnvConfigError: a value is unusable, or the values do not fit each other; nothing has been read yet.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    """Families of questions, all equally often: `plane_geometry`, `counting`, `charts`, `tables`, `algebra`."""
    split: str | None = None
    """`train` (endless; None is the same), `validation` or `test` (fixed). The rows of MathVision have no split."""
    image_size: int = 560
    """Longer side of a figure in pixels, 320 to 2048."""
    max_turns: int = 4
    """Turns of an episode that may call the tool."""
    held_out: int = 1000
    """Questions of the validation split and of the test split; fewer are the first of more."""
    source: str = QuestionsFrom.FIGURES
    """`figures`; `mathvision`: rows in the layout of that benchmark, which `path` names; or `written`: sums in words
    and no figure, whose answers are digits."""
    guess_rate: float = 0.1
    """Of written sums: how often the answer is the favourite digit of the form of question."""
    path: str | Path | None = None
    """Of MathVision: a `.jsonl`, `.json` or `.parquet` file, or a folder that holds one such data set."""
    allow_unsandboxed: bool = False
    """Where no sandbox can be set up, execute code with the rights of this process."""
    python: Any = None
    """Another interpreter tool, such as `PythonTool(SandboxLimits(...))`; None makes one. `expressions`: prints of
    whole-number expressions alone, without an interpreter, a thousand times quicker."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "families", some_of("families", self.families, tuple(FAMILIES)))
        check_choice("source", self.source, tuple(QuestionsFrom))
        for name, low, high in _RANGES:
            check_range(name, getattr(self, name), int, low, high)
        if not isinstance(self.allow_unsandboxed, bool):
            raise EnvConfigError(f"allow_unsandboxed must be true or false; got {self.allow_unsandboxed!r}")
        check_range("guess_rate", self.guess_rate, float, 0, 1)
        if isinstance(self.python, str):
            check_choice("python", self.python, (EXPRESSIONS,))
        if self.source != QuestionsFrom.MATHVISION:
            check_split(self.split or Split.TRAIN, Split)
            if self.path is not None:
                raise EnvConfigError(
                    f"path is that of source='mathvision'; got {str(self.path)!r} with {str(self.source)!r}"
                )
        elif not isinstance(self.path, str | Path) or not str(self.path):
            raise EnvConfigError(f"source='mathvision' needs path, a file or a folder of its rows; got {self.path!r}")

    @property
    def written(self) -> WrittenQuestionSettings:
        """What decides the questions without figures."""
        return WrittenQuestionSettings(
            split=Split(self.split or Split.TRAIN), held_out=self.held_out, guess_rate=self.guess_rate
        )

    @property
    def figures(self) -> FigureQuestionSettings:
        """What decides the questions about figures."""
        return FigureQuestionSettings(
            split=Split(self.split or Split.TRAIN),
            held_out=self.held_out,
            families=self.families,
            image_size=self.image_size,
        )

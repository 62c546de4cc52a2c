"""Defines `DeskSettings`, the knobs of Desk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from axpo_envs.governance import GovernedSettings
from axpo_envs.plumbing.knobs import check_choice, check_range, check_split, some_of
from axpo_envs.questions.splits import Split
from axpo_envs.suite.desk.plan import BRIEF_KINDS, FULL_KINDS, Kind
from axpo_envs.suite.desk.questions import DeskQuestionSettings


class DeskSize(StrEnum):
    """How much stands on a desk."""

    FULL = "full"
    """Tickets, a database, a workbook and payments."""
    BRIEF = "brief"
    """Tickets and payments, in few words."""


class Payments(StrEnum):
    """What becomes of a payment that is ordered."""

    LEDGER = "ledger"
    """It is made in the episode's own ledger."""
    DRY_RUN = "dry_run"
    """It is checked and told; episodes are judged as if it had been made."""


class Denials(StrEnum):
    """What becomes of calls that a question forbids."""

    OFF = "off"
    """They are executed, and what they changed costs reward."""
    HIDDEN = "hidden"
    """They are denied, and the policy does not read that they were: it reads that there is no result."""
    VISIBLE = "visible"
    """They are denied, and the policy reads why."""
    COSTLY = "costly"
    """The same, and each of them costs reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskSettings(GovernedSettings):
    """The knobs of Desk, all of them keyword arguments of `gymnasium.make`.

    Raises:
        EnvConfigError: a value is unusable; nothing has been read yet.
    """

    desk: str = DeskSize.FULL
    """`full`; or `brief`: tickets and payments alone, in few words, for a very small policy."""
    kinds: tuple[str, ...] | None = None
    """Kinds of questions, of those of the desk; those that demand the same are asked equally often. None for all."""
    guess_rate: float = 0.6
    """Of a brief desk: how often a ticket whose status is asked for is open."""
    split: str = Split.TRAIN
    """`train` (endless), `validation` or `test` (fixed)."""
    payments: str = Payments.LEDGER
    """`ledger`: payments are made in the episode's own ledger; `dry_run`: they are checked and told, and judged as if
    they had been made."""
    denials: str = Denials.OFF
    """Of calls that a question forbids: `off` executes them; `hidden`, `visible` and `costly` deny them."""
    denial_cost: float = 0.5
    """What each denied call costs with `denials="costly"`."""
    max_turns: int | None = None
    """Turns of an episode that may call tools; None for 10, and 3 of a brief desk."""
    held_out: int = 1000
    """Questions of the validation split and of the test split; fewer are the first of more."""

    def __post_init__(self) -> None:
        check_choice("desk", self.desk, tuple(DeskSize))
        known = tuple(kind.value for kind in (BRIEF_KINDS if self.desk == DeskSize.BRIEF else FULL_KINDS))
        if self.kinds is not None:
            object.__setattr__(self, "kinds", some_of("kinds", self.kinds, known))
        check_split(self.split, Split)
        check_choice("payments", self.payments, tuple(Payments))
        check_choice("denials", self.denials, tuple(Denials))
        check_range("denial_cost", self.denial_cost, float, 0, 10)
        check_range("guess_rate", self.guess_rate, float, 0, 1)
        check_range("held_out", self.held_out, int, 1, 1_000_000)
        if self.max_turns is not None:
            check_range("max_turns", self.max_turns, int, 1, 1000)

    @property
    def turns(self) -> int:
        """Turns of an episode that may call tools."""
        return self.max_turns if self.max_turns is not None else (3 if self.desk == DeskSize.BRIEF else 10)

    @property
    def questions(self) -> DeskQuestionSettings:
        """What decides the questions."""
        brief = self.desk == DeskSize.BRIEF
        kinds = (BRIEF_KINDS if brief else FULL_KINDS) if self.kinds is None else tuple(map(Kind, self.kinds))
        return DeskQuestionSettings(
            split=Split(self.split), held_out=self.held_out, kinds=kinds, brief=brief, guess_rate=self.guess_rate
        )

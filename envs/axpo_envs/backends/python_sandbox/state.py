"""Defines what a Python session is: the cells executed so far, which is all that it takes to have it again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from axpo_envs.backends.python_sandbox._digests import first_key, next_key
from axpo_envs.errors import InfrastructureFault


class ReplayFault(InfrastructureFault):
    """A cell showed something else when it was executed again, so the interpreter after it cannot be had again.

    What it shows is no function of the cells and the seed (it prints the time, say), or Python and its libraries are
    other ones here.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """An executed cell."""

    code: str
    """What was executed."""
    digest: str
    """Hash of what it showed: its replay must show the same."""
    images: tuple[str, ...] = ()
    """Hashes of the images that it was given."""


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class PythonState:
    """An interpreter as data. Equal states are interchangeable, in whichever process."""

    cells: tuple[Cell, ...] = ()
    """The cells, those that raised included, those that were stopped not."""
    seed: int | None = None
    """Seed of the interpreter's randomness: that of the first cell's call; None before."""

    def after(self, code: str, digest: str, *, seed: int, images: tuple[str, ...] = ()) -> PythonState:
        """The state after one more cell.

        Args:
            code: what was executed.
            digest: hash of what it showed.
            seed: seed of the call.
            images: hashes of the images that it was given.
        """
        cells = (*self.cells, Cell(code=code, digest=digest, images=images))
        return replace(self, cells=cells, seed=seed if self.seed is None else self.seed)

    def path(self, seed: int) -> tuple[str, ...]:
        """Names of the interpreters from an unused one to the one that is in this state.

        Args:
            seed: the seed that an unused one would be given now.
        """
        keys = [first_key(seed if self.seed is None else self.seed)]
        for cell in self.cells:
            keys.append(next_key(keys[-1], cell.code, cell.digest, cell.images))
        return tuple(keys)

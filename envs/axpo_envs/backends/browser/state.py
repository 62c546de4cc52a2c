"""Defines what a browsing session is: a site and the actions so far, which is all that it takes to have it again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from axpo_envs.backends.commands.trees import FileTree
from axpo_envs.digest import digest_of
from axpo_envs.errors import InfrastructureFault


class BrowserReplayFault(InfrastructureFault):
    """A page showed something else when the actions that led to it were done again.

    What it shows is no function of the actions and the seed, or the browser or its fonts are other ones here.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request with which a page sent something: the site's server keeps it, and answers with its file."""

    method: str
    """`POST`, say."""
    path: str
    """Where it went, with its query."""
    body: str
    """What was sent; bytes that are no UTF-8 as `\\xff`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done."""

    action: str
    """`open`, `click`, `type` or `back`."""
    path: str = ""
    """`open`: where."""
    ref: str = ""
    """`click`, `type`: the element, as the page's text names it."""
    text: str = ""
    """`type`: what."""
    submit: bool = False
    """`type`: press Enter afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What was done."""

    step: Step
    """It."""
    digest: str
    """Hash of what the page showed afterwards: its replay must show the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a page shows."""

    text: str
    """Its address, title and elements."""
    submissions: tuple[Submission, ...] = ()
    """What it has sent since the action before."""

    @property
    def digest(self) -> str:
        """Hash of all of it."""
        return digest_of(self.text, tuple((one.method, one.path, one.body) for one in self.submissions))


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserState:
    """A browsing session as data. Equal states are interchangeable, in whichever process."""

    site: FileTree
    """The pages, images and scripts that there are, by path."""
    acts: tuple[Act, ...] = ()
    """What was done; failed actions are not among it."""
    seed: int | None = None
    """Seed of the pages' random numbers: that of the first action's call; None before."""
    shown: str = ""
    """What the page shows; empty before the first action."""
    submissions: tuple[Submission, ...] = ()
    """All that pages have sent: for rewards."""

    def after(self, step: Step, shown: Shown, *, seed: int) -> BrowserState:
        """The state after one more action.

        Args:
            step: what was done.
            shown: what the page shows.
            seed: seed of the call.
        """
        return replace(
            self,
            acts=(*self.acts, Act(step=step, digest=shown.digest)),
            seed=seed if self.seed is None else self.seed,
            shown=shown.text,
            submissions=(*self.submissions, *shown.submissions),
        )

    @property
    def key(self) -> str:
        """Names the live page that is in this state."""
        acts = tuple((repr(act.step), act.digest) for act in self.acts)
        return digest_of(self.site.digest, self.seed, acts)

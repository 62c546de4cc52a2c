"""Where the metrics of a run are sent besides its folder: Weights & Biases, trackio, MLflow, or a tracker of one's own.

A tracker of a package of one's own is named `package.module:NAME`, in `log.trackers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from axpo.run.trackers._tracker import Tracked, Tracker
from axpo.settings.config import ConfigError
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.named_object import load_named

__all__ = ["Tracked", "Tracker", "make_tracker", "register_tracker", "tracker_names"]

TrackerMaker: TypeAlias = Callable[[], Tracker]
"""Makes a tracker; imports what it needs."""

_TRACKERS: Final[dict[str, TrackerMaker]] = {}


def register_tracker(name: str, make: TrackerMaker) -> None:
    """Makes a tracker known by a name.

    Raises:
        ConfigError: another one has that name.
    """
    if _TRACKERS.setdefault(name, make) is not make:
        raise ConfigError(f"log.trackers: there is another tracker of the name {name!r}")


def tracker_names() -> tuple[str, ...]:
    """The names of the registered trackers."""
    return tuple(_TRACKERS)


def make_tracker(name: str) -> Tracker:
    """A tracker of a name: a registered one, or `package.module:NAME` of something that makes one.

    Raises:
        ConfigError: there is none of that name, its package is not installed, or what was made is no tracker.
    """
    make: Any = _TRACKERS.get(name)
    if make is None and ":" not in name:
        known = ", ".join(_TRACKERS)
        raise ConfigError(f"log.trackers: expected some of {known}, or package.module:NAME; got {name!r}")
    try:
        made = (make or load_named(name, "log.trackers"))()
    except EnvConfigError as error:
        raise ConfigError(str(error)) from error
    except ModuleNotFoundError as error:
        raise ConfigError(f"log.trackers: {name} needs the package {error.name} (pip install {error.name})") from error
    except TypeError as error:
        raise ConfigError(f"log.trackers: expected {name} to make a Tracker without arguments; {error}") from error
    if not isinstance(made, Tracker):
        raise ConfigError(f"log.trackers: expected {name} to make a Tracker (begin, log, end); got {made!r:.100}")
    return made


def _wandb() -> Tracker:
    # Its package is the user's.
    from axpo.run.trackers._wandb import WandbTracker

    return WandbTracker()


def _trackio() -> Tracker:
    # Its package is the user's.
    from axpo.run.trackers._trackio import TrackioTracker

    return TrackioTracker()


def _mlflow() -> Tracker:
    # Its package is the user's.
    from axpo.run.trackers._mlflow import MlflowTracker

    return MlflowTracker()


register_tracker("wandb", _wandb)
register_tracker("trackio", _trackio)
register_tracker("mlflow", _mlflow)

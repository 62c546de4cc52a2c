"""Defines what the wire forms of servers share: `Message`, log-probabilities that can be right, images as addresses."""

from __future__ import annotations

import base64
import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

from axpo_agents.remote._messages import AnswerError
from axpo_envs.images import ImageRef

TOP: Final = 2
"""Alternatives asked for beside each token: the fewest from which a distribution's sharpness can be told."""


UNREADABLE: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading an answer of another form raises; JSON's `Infinity` and integers of any length among it."""


class Message(NamedTuple):
    """A request as it is sent."""

    path: str
    """Where to, after the server's address."""
    body: dict[str, Any]
    """The JSON."""


def token_id(value: Any) -> int:
    """The value, if it is a token id.

    Raises:
        AnswerError: it is no whole number.
    """
    if type(value) is not int:
        raise AnswerError(f"has {value!r:.60} for a token id")
    return value


def log_probability(value: Any) -> float:
    """The value, which rounding may have lifted a little above 0.

    Raises:
        AnswerError: it is no log-probability.
        OverflowError: it is an integer beyond all floats.
    """
    if type(value) not in (int, float):
        raise AnswerError(f"has {value!r:.60} for a log-probability")
    number = float(value)
    if not -math.inf < number <= 1e-3:
        raise AnswerError(f"has {number} for a log-probability")
    return min(number, 0.0)


@lru_cache(maxsize=64)
def data_url(image: ImageRef) -> str:
    """The image as it travels, without loss."""
    return f"data:image/png;base64,{base64.b64encode(image.to_png()).decode('ascii')}"

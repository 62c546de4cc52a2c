"""Defines `merge`: attention over two sets of keys as attention over both (arXiv:2205.14135, section 3.1)."""

from __future__ import annotations

import torch

Attended = tuple[torch.Tensor, torch.Tensor]
"""What queries attended, shape (..., head size), and the log of their normalizers, shape (...)."""


def merge(one: Attended, other: Attended) -> Attended:
    """Outputs add up in the ratio of their normalizers.

    Worked value: outputs 1 and 4 with normalizers ln 2 and ln 1 give (2 x 1 + 1 x 4) / 3 = 2 with ln 3.
    """
    total = torch.logaddexp(one[1], other[1])
    shares = [(normalizer - total).exp()[..., None] for _, normalizer in (one, other)]
    return one[0] * shares[0] + other[0] * shares[1], total

"""Defines what evaluations of several models share, and what keeps the rest of them from being compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from axpo.records.evaluation_records import Provenance

NOT_COMPARED: Final = "not compared: "
"""Begins a difference that keeps a benchmark from being compared."""


def shared(asked: Mapping[str, Provenance]) -> Iterator[tuple[str, str]]:
    """Benchmarks and arms that all have."""
    first, *others = asked.values()
    for benchmark, own in first.benchmarks.items():
        for arm in own.tools:
            if all(benchmark in other.benchmarks and arm in other.benchmarks[benchmark].tools for other in others):
                yield benchmark, arm


def differences(asked: Mapping[str, Provenance], benchmark: str, arm: str) -> Iterator[str]:
    """How a benchmark that was asked under an arm differs between the first model and the others."""
    (first, own), *others = ((name, one.benchmarks[benchmark]) for name, one in asked.items())
    for name, other in others:
        for label in ("slice", "fingerprint", "scorer", "judge"):
            ours, theirs = getattr(own, label), getattr(other, label)
            if ours != theirs:
                yield f"{NOT_COMPARED}{benchmark}, {label}: {first} has {ours!r}; {name} {theirs!r}"
        if own.prompts.get(arm) != other.prompts.get(arm):
            yield f"{benchmark}, {arm}: {first} and {name} were told other instructions or tools"


def protocols(asked: Mapping[str, Provenance]) -> Iterator[str]:
    """How the protocols of the others differ from that of the first."""
    (first, own), *others = asked.items()
    for name, other in others:
        for label in sorted({*own.protocol, *other.protocol}):
            ours, theirs = own.protocol.get(label), other.protocol.get(label)
            if ours != theirs:
                yield f"protocol, {label}: {first} has {ours!r}; {name} {theirs!r}"

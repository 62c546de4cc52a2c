"""Defines `Snapshot`: an episode's state together with what says where it may be restored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from axpo_envs.errors import SnapshotError
from axpo_envs.plumbing.data_format import DataFormatError, read_data, write_data
from axpo_envs.plumbing.sealed import SealError, seal, unseal
from axpo_envs.types import EpisodeState

SCHEMA_VERSION: Final = 1
"""Version of the layout of `EpisodeState`; raised when a field changes its meaning."""

_TITLE: Final = b"AXPO-SNAPSHOT-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A moment of an episode that can be returned to, in this process or another."""

    state: EpisodeState
    """The state itself; a snapshot copies nothing."""
    env_id: str
    """The environment it was taken in."""
    schema_version: int = SCHEMA_VERSION
    """Layout version of the state."""
    rules: str = ""
    """Fingerprint of the rules it was taken under: tools, instructions, limits."""

    @property
    def digest(self) -> str:
        """Hash of the history that led here (32 hexadecimal digits); equal digests are equal moments."""
        return self.state.digest

    def to_bytes(self, *, key: bytes | None = None) -> bytes:
        """Everything needed to restore it elsewhere.

        Args:
            key: a secret of at least 16 bytes with which they are sealed; None guards against damage alone.

        Raises:
            SnapshotError: a tool's state cannot be written.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        try:
            return seal(_TITLE, write_data(tuple(fields.items())), key=key)
        except DataFormatError as error:
            raise SnapshotError(f"the snapshot of question {self.state.question.id!r}: {error}") from error

    @classmethod
    def from_bytes(cls, data: bytes, *, key: bytes | None = None, trust: bool = False) -> Snapshot:
        """Reads what `to_bytes` wrote. Nothing in the bytes is executed, unless the caller trusts their writer.

        States of tools are data, as everything else in a snapshot, if they are made of plain values, images, tuples,
        frozensets, frozen dataclasses, NamedTuples and enums of modules that are imported. A state of another type is
        a pickle, which is read only with a key or with `trust`.

        Args:
            data: the bytes.
            key: the secret that they were sealed with; bytes that nobody with the secret wrote are refused.
            trust: whoever wrote the bytes may execute anything in this process. For bytes of your own alone.

        Raises:
            SnapshotError: the bytes are no snapshot, are damaged, or hold what only a trusted writer may write.
        """
        try:
            body = unseal(_TITLE, data, key=key)
            snapshot = cls(**dict(read_data(body, trusted=trust or key is not None)))
        except (SealError, DataFormatError, TypeError, ValueError) as error:
            raise SnapshotError(f"these bytes cannot be read as a snapshot: {error}") from error
        if not isinstance(snapshot.state, EpisodeState):
            raise SnapshotError(f"expected the state of an episode; got {type(snapshot.state).__name__}")
        return snapshot

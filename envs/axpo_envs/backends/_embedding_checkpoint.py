"""Defines `EmbeddingCheckpoint`: a sentence-transformers checkpoint in a folder, loaded when first used (`dense`)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.extras import require_extra, requiring


class EmbeddingCheckpoint:
    """A checkpoint from a folder, on the CPU; nothing is downloaded, and no code of the folder is run.

    Args:
        folder: the checkpoint.
        user: the class that embeds with it, for messages.
        settings: what else changes its vectors.

    Raises:
        EnvConfigError: the folder holds no such checkpoint.
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(self, folder: str | Path, *, user: str, settings: tuple[str | None, ...] = ()) -> None:
        require_extra("dense", user)
        self.folder: Final = Path(folder).absolute()
        if not (self.folder / "modules.json").is_file():
            raise EnvConfigError(f"expected the folder of a sentence-transformers checkpoint; got {folder}")
        self.fingerprint: Final = _hash_of(self.folder, settings)
        self._user = user
        self._lock = threading.Lock()
        self._model: Any = None

    @contextmanager
    def model(self) -> Iterator[Any]:
        """The model, for one user at a time."""
        with self._lock:
            if self._model is None:
                self._model = self._load()
            yield self._model

    def _load(self) -> Any:
        with requiring("dense", self._user):
            from sentence_transformers import SentenceTransformer
        try:
            return SentenceTransformer(str(self.folder), device="cpu", local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise EnvConfigError(f"cannot load the checkpoint {self.folder}: {error}") from error


def _hash_of(folder: Path, settings: tuple[str | None, ...]) -> str:
    hasher = hashlib.sha256(repr(settings).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        hasher.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    return f"sentence-transformers:{hasher.hexdigest()[:32]}"

"""Defines `ModelFiles`: the files of a model folder, a Hugging Face id or a GGUF file, read one by one, every defect
named."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Final

from axpo_agents.errors import PolicyError
from axpo_agents.families import family_of, image_families
from axpo_agents.formats.gguf_files import gguf_file, names_gguf
from axpo_agents.formats.image_settings import ImageSettings
from axpo_envs.plumbing.extras import requiring

with requiring("remote", "reading the files of a model"):
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import cached_file

_IMAGE_FILES: Final = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
"""Files that neither model nor tokenizer writes; a saved policy carries them on."""
_UNREADABLE: Final = (OSError, ValueError, TypeError, KeyError, struct.error)
"""What the Transformers library raises of files that are none, or are damaged."""


class ModelFiles:
    """A checkpoint that is being loaded.

    Args:
        name: a folder in Hugging Face layout, a Hugging Face id, or a GGUF file (see `gguf_files.gguf_file`), which
            holds config, tokenizer, chat template and weights in one.

    Raises:
        PolicyError: there is no such folder, id or file.
        MissingExtraError: a GGUF file, without the extra `gguf`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._gguf = gguf_file(name) if names_gguf(name) else None
        path = Path(name).expanduser()
        if self._gguf is not None:
            self.name = str(self._gguf)
        elif path.is_dir():
            self.name = str(path)
        elif path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise PolicyError(
                f"expected a checkpoint folder at {name}; there is {'a file' if path.exists() else 'nothing'}"
            )
        self.config = self._load_config()

    @property
    def source(self) -> tuple[str, dict[str, str]]:
        """What a `from_pretrained` of the Transformers library takes to read these files: a name, and keywords."""
        if self._gguf is None:
            return self.name, {}
        return str(self._gguf.parent), {"gguf_file": self._gguf.name}

    @property
    def shows_images(self) -> bool:
        """Whether the model has an image tower."""
        return family_of(self.config.model_type).images is not None

    def image_settings(self) -> ImageSettings:
        """How the model wants its images, from the preprocessor's config of any age."""
        name = "preprocessor_config.json"
        config = self._json(name)
        if config is None:
            name = "processor_config.json"
            config = (self._json(name) or {}).get("image_processor")
        if config is None:
            raise PolicyError(
                f"{self.name}: expected preprocessor_config.json beside a model that reads images; it is missing"
            )
        return ImageSettings.from_config(config, where=f"{self.name}/{name}")

    def image_files(self) -> dict[str, bytes]:
        """Name and content of the files that say how images are prepared."""
        paths = {name: self._find(name) for name in _IMAGE_FILES}
        return {name: path.read_bytes() for name, path in paths.items() if path is not None}

    def tokenizer(self) -> Any:
        """The tokenizer, its chat template the one that belongs to the whole model."""
        name, keywords = self.source
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, **keywords)
        except _UNREADABLE as error:
            raise PolicyError(f"{self.name}: the tokenizer cannot be loaded: {error}") from error
        # Models with images used to keep their template in a file of its own; the tokenizer's is for text alone then.
        if self.shows_images and self._find("chat_template.jinja") is None:
            processor = self._json("chat_template.json") or {}
            tokenizer.chat_template = processor.get("chat_template", tokenizer.chat_template)
        if isinstance(tokenizer.chat_template, dict):
            named = tokenizer.chat_template
            tokenizer.chat_template = named.get("tool_use") or named.get("default")
        if not tokenizer.chat_template:
            raise PolicyError(
                f"{self.name}: expected a chat template (chat_template.jinja or tokenizer_config.json); none is there"
            )
        size, rows = max(tokenizer.get_vocab().values()) + 1, self.config.get_text_config().vocab_size
        if size > rows:
            raise PolicyError(
                f"{self.name}: expected embeddings for all {size} tokens of the tokenizer; got {rows} rows"
            )
        return tokenizer

    def stop_ids(self, tokenizer: Any) -> tuple[int, ...]:
        """Tokens that end generation, according to tokenizer and generation config."""
        generation = self._json("generation_config.json") or {}
        named = generation.get("eos_token_id")
        ids = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}
        return tuple(sorted(ids))

    def _load_config(self) -> Any:
        name, keywords = self.source
        try:
            config = AutoConfig.from_pretrained(name, **keywords)
        except (*_UNREADABLE, AttributeError) as error:
            raise PolicyError(
                f"{self.name}: no config can be loaded; expected a checkpoint folder or id: {error}"
            ) from error
        if family_of(config.model_type).images is None and getattr(config, "vision_config", None) is not None:
            known = ", ".join(image_families())
            raise PolicyError(
                f"{self.name}: expected a text model or one of {known}; got model type {config.model_type}"
            )
        kinds = set(getattr(config.get_text_config(), "layer_types", None) or ()) - {"full_attention"}
        if kinds:
            raise PolicyError(f"{self.name}: expected full attention in every layer; got {', '.join(sorted(kinds))}")
        if (window := _window(config.get_text_config())) is not None:
            raise PolicyError(f"{self.name}: expected full attention in every layer; got a window of {window} tokens")
        return config

    def _find(self, name: str) -> Path | None:
        if self._gguf is not None:
            # What lies beside a GGUF file belongs to another model, if to any.
            return None
        found = cached_file(self.name, name, _raise_exceptions_for_missing_entries=False)
        return None if found is None else Path(found)

    def _json(self, name: str) -> dict[str, Any] | None:
        path = self._find(name)
        if path is None:
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise PolicyError(f"{self.name}/{name}: expected JSON; {error}") from error
        if not isinstance(content, dict):
            raise PolicyError(f"{self.name}/{name}: expected a JSON object; got {type(content).__name__}")
        return content


def _window(config: Any) -> int | None:
    """How many tokens every layer sees, for families that say so for all layers at once; None for all of them."""
    window: int | None = getattr(config, "sliding_window", None)
    used = getattr(config, "use_sliding_window", True) and getattr(config, "layer_types", None) is None
    return window if used and window is not None and window < config.max_position_embeddings else None

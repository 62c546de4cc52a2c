"""Defines `axpo serve-search`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from axpo.commands.arguments import parse
from axpo.settings.config_file import checked
from axpo_envs.backends.search.serve import serve_search


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSearchArguments:
    """Serve a corpus over the retrieval protocol of Search-R1 and verl (POST /retrieve), until Ctrl-C."""

    corpus: tyro.conf.Positional[Path]
    """JSONL file with a document a line: {"id", "contents"} (title in the first line) or {"id", "title", "text"}."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""


def run(arguments: Sequence[str]) -> int:
    """Serves; returns the exit code."""
    parsed = checked(parse(ServeSearchArguments, "serve-search", arguments))
    serve_search(parsed.corpus, host=parsed.host, port=parsed.port)
    return 0

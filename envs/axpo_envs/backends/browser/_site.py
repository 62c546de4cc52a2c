"""Defines where a site is, and what of it is at an address."""

from __future__ import annotations

import mimetypes
from typing import Final
from urllib.parse import unquote

from axpo_envs.backends.commands.trees import EntryKind, FileTree

HOST: Final = "http://site.test"
"""The address of the site, as pages know it."""


def find_page(site: FileTree, path: str) -> tuple[str, bytes] | None:
    """The media type and the content of a path; of a folder, those of its `index.html`.

    Worked value: `/`, `/index.html` and the empty path are the file `index.html`; `/about` is `about`, `about.html` or
    `about/index.html`.
    """
    name = unquote(path).strip("/")
    candidates = (name, f"{name}.html", f"{name}/index.html") if name else ("index.html",)
    for candidate in candidates:
        entry = site.find(candidate)
        if entry is not None and entry.kind is EntryKind.FILE:
            kind = mimetypes.guess_type(candidate)[0] or "text/html"
            return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind, entry.data
    return None

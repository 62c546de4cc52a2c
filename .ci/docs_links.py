"""A hook of mkdocs: links from the pages to files beside docs/ lead to the repository."""

import re
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

_LINK = re.compile(r"\]\(((?:\.\./)+)([^)\s]+)\)")


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Writes `](../SECURITY.md)` of a page in docs/ as the address of that file."""
    depth = len(PurePosixPath(page.file.src_uri).parts)

    def address(link: re.Match[str]) -> str:
        if link[1].count("../") < depth:
            return link[0]
        return f"]({config.repo_url}/blob/main/{link[2]})"

    return _LINK.sub(address, markdown)

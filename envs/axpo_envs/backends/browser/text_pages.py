"""Defines `TextPages`, a driver without a browser: it reads HTML, follows links, sends forms, and runs no script."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

from axpo_envs.backends.browser._site import HOST, find_page
from axpo_envs.backends.browser.state import Shown, Step, Submission
from axpo_envs.backends.commands.trees import FileTree
from axpo_envs.tool.protocol import ToolError

_FIELDS: Final = ("input", "textarea", "select")
_SILENT: Final = ("script", "style", "title")


class TextPages:
    """Opens pages as text: for tests of environments where there is no Chromium, and for sites without scripts.

    There are no pictures. Forms know fields of text, and a button sends the form that it is in.
    """

    async def open(self, site: FileTree, seed: int) -> TextPage:
        """An empty page."""
        del seed
        return TextPage(site)

    async def close(self) -> None:
        """There is nothing to end."""


class TextPage:
    """A page as text.

    Args:
        site: what there is.
    """

    def __init__(self, site: FileTree) -> None:
        self._site = site
        self._history: list[str] = []
        self._page = _Reader("")
        self._submissions: list[Submission] = []

    async def act(self, step: Step) -> Shown:
        """Does something, and tells what the page shows.

        Raises:
            ToolError: it cannot be done.
        """
        self._submissions = []
        match step.action:
            case "open":
                self._go(urljoin(f"{HOST}/", step.path))
            case "back":
                if len(self._history) < 2:
                    raise ToolError("there is no page to go back to")
                del self._history[-1]
                self._load()
            case "click":
                self._click(self._element(step.ref))
            case _:
                self._type(self._element(step.ref), step)
        return Shown(text=self._shown(), submissions=tuple(self._submissions))

    async def picture(self) -> bytes:
        """There is none.

        Raises:
            ToolError: always.
        """
        raise ToolError("there are no pictures of these pages")

    async def close(self) -> None:
        """There is nothing to end."""

    def _element(self, ref: str) -> _Element:
        for number, element in enumerate(self._page.elements, 1):
            if ref == f"e{number}":
                return element
        raise ToolError(f"there is no element {ref} on the page")

    def _click(self, element: _Element) -> None:
        if element.tag == "a" and "href" in element.attributes:
            self._go(urljoin(self._history[-1], element.attributes["href"]))
        elif element.tag == "button" and element.form is not None:
            self._send(element.form)

    def _type(self, element: _Element, step: Step) -> None:
        if element.tag not in _FIELDS:
            raise ToolError(f"{step.ref} is no field")
        element.value = step.text
        if step.submit and element.form is not None:
            self._send(element.form)

    def _send(self, form: _Element) -> None:
        fields = [one for one in self._page.elements if one.form is form and one.attributes.get("name")]
        body = urlencode([(one.attributes["name"], one.value) for one in fields if one.tag in _FIELDS])
        address = urljoin(self._history[-1], form.attributes.get("action", ""))
        if form.attributes.get("method", "get").lower() == "post":
            self._submissions.append(Submission(method="POST", path=urlsplit(address).path, body=body))
        else:
            address = f"{address.partition('?')[0]}?{body}"
        self._go(address)

    def _go(self, address: str) -> None:
        if not address.startswith(f"{HOST}/"):
            raise ToolError(f"refused, there is no network: {address[:200]}")
        self._history.append(address)
        self._load()

    def _load(self) -> None:
        found = find_page(self._site, urlsplit(self._history[-1]).path)
        content = b"<title>404</title>There is no such page." if found is None else found[1]
        self._page = _Reader(content.decode("utf-8", "replace"))

    def _shown(self) -> str:
        head = f"page: {self._history[-1].removeprefix(HOST)} ({self._page.title.strip()})"
        lines = (element.line(f"e{number}") for number, element in enumerate(self._page.elements, 1))
        return "\n".join((head, *filter(None, lines)))


@dataclass(slots=True, kw_only=True, eq=False)
class _Element:
    """A text, or an element that something can be done with."""

    tag: str
    attributes: dict[str, str]
    form: _Element | None
    text: str = ""
    value: str = ""

    def line(self, ref: str) -> str:
        text = " ".join(self.text.split())
        name = (
            self.attributes.get("aria-label") or self.attributes.get("placeholder") or self.attributes.get("name", "")
        )
        match self.tag:
            case "a":
                return f'- link "{text}" [ref={ref}]'
            case "button":
                return f'- button "{text}" [ref={ref}]'
            case tag if tag in _FIELDS:
                return f'- textbox "{name}" [ref={ref}]: {self.value}'
        return f"- text: {text}" if text else ""


class _Reader(HTMLParser):
    """Finds what a page shows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[_Element] = []
        self.title = ""
        self._silent = ""
        self._within: _Element | None = None
        self._form: _Element | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in _SILENT:
            self._silent = tag
        elif tag == "form":
            self._form = _Element(tag=tag, attributes=attributes, form=None)
        elif tag in ("a", "button", *_FIELDS):
            element = _Element(tag=tag, attributes=attributes, form=self._form, value=attributes.get("value", ""))
            self.elements.append(element)
            self._within = element if tag in ("a", "button") else self._within
        elif self._within is None:
            self.elements.append(_Element(tag="", attributes={}, form=None))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._silent:
            self._silent = ""
        elif tag == "form":
            self._form = None
        elif self._within is not None and tag == self._within.tag:
            self._within = None

    def handle_data(self, data: str) -> None:
        if self._silent:
            self.title += data if self._silent == "title" else ""
        elif self._within is not None:
            self._within.text += data
        elif data.strip():
            if not self.elements or self.elements[-1].tag:
                self.elements.append(_Element(tag="", attributes={}, form=None))
            self.elements[-1].text += data

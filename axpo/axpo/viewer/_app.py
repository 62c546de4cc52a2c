"""Defines `make_app`: the viewer as an application that answers requests of this machine's own browsers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader

from axpo.records._checked_json import DamagedFileError
from axpo.records._rollout_log import image_path
from axpo.report._page import REPORT_TEMPLATES, colours, templates
from axpo.report._palette import LIGHT
from axpo.report._pictures import Reduced
from axpo.viewer._curves import curves_of
from axpo.viewer._pages import NotFoundError, Pages
from axpo.viewer._query import ALL, LATEST, Look
from axpo.viewer._watched import Watched, stamp_of
from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.surrogates import well_formed

with requiring("view", "`axpo view`"):
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

HOSTS: Final = ("127.0.0.1", "localhost")
"""Names under which it answers: a page elsewhere whose name leads here by trickery reads nothing."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Nothing is loaded from elsewhere, and nothing that stands in a page is run."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SIDE: Final = 1024
"""Pixels to which larger images are reduced."""
_STATIC: Final = Path(__file__).parent / "static"
_KINDS: Final[Mapping[str, str]] = {
    "axpo.js": "text/javascript",
    "curves.js": "text/javascript",
    "chart.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""The files that pages ask for: no other name is looked at."""


def make_app(pages: Pages) -> Starlette:
    """The application; everything it says is about `pages`, and it changes nothing."""
    site = _Site(pages)
    routes = [
        Route("/", site.overview),
        Route("/rollouts", site.rollouts),
        Route("/group", site.group),
        Route("/curves.json", site.curves),
        Route("/state.json", site.state),
        Route("/image", site.image),
        Route("/static/style.css", site.style),
        Route("/static/{name}", site.static),
    ]
    middleware = [
        Middleware(BaseHTTPMiddleware, dispatch=_guarded),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS)),
    ]
    return Starlette(routes=routes, middleware=middleware, exception_handlers={404: site.missing})


class _Site:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._templates = _environment()
        self._curves: Watched[bytes] = Watched(1)
        self._images: Watched[Reduced] = Watched(64)

    def overview(self, _request: Request) -> Response:
        return self._page("overview.html.j2", self._pages.overview())

    def rollouts(self, request: Request) -> Response:
        return self._found("rollouts.html.j2", self._pages.rollouts, request)

    def group(self, request: Request) -> Response:
        return self._found("group.html.j2", self._pages.group, request)

    def curves(self, request: Request) -> Response:
        stamp = self._pages.shelf.stamp()
        if request.headers.get("If-None-Match") == f'"{stamp}"':
            return Response(status_code=304)
        content = self._curves.get("curves", stamp, lambda: _json(curves_of(self._pages.shelf)))
        return Response(content, media_type="application/json", headers={"ETag": f'"{stamp}"'})

    def state(self, _request: Request) -> Response:
        return Response(_json(self._pages.state()), media_type="application/json")

    def image(self, request: Request) -> Response:
        look = Look.of(request.query_params, [])
        digest = request.query_params.get("digest", "")
        try:
            run = self._pages.run(look.run)
            path = image_path(run.rollouts, look.step if isinstance(look.step, int) else -1, digest)
            small = self._images.get(path, stamp_of(path), lambda: _reduced(path, digest))
        except (NotFoundError, OSError, DamagedFileError, ImageProblemError) as error:
            return self._missing(str(error))
        # An image is named by its content.
        headers = {"Cache-Control": "private, max-age=86400, immutable"}
        return Response(small.data, media_type=small.kind, headers=headers)

    def style(self, _request: Request) -> Response:
        text = self._templates.get_template("viewer.css").render(roles=tuple(LIGHT), **colours())
        return Response(text, media_type="text/css", headers={"Cache-Control": "no-cache"})

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _KINDS:
            return self._missing("there is no such file")
        content = (_STATIC / name).read_bytes()
        return Response(content, media_type=_KINDS[name], headers={"Cache-Control": "no-cache"})

    def missing(self, _request: Request, _error: Exception) -> Response:
        return self._missing("there is no such page")

    def _found(self, template: str, make: Callable[[Look], dict[str, Any]], request: Request) -> Response:
        look = Look.of(request.query_params, request.query_params.getlist("show"))
        try:
            return self._page(template, make(look))
        except NotFoundError as error:
            return self._missing(str(error))

    def _missing(self, problem: str) -> Response:
        return self._page("missing.html.j2", {"problem": problem}, status=404)

    def _page(self, template: str, content: Mapping[str, Any], status: int = 200) -> Response:
        text = self._templates.get_template(template).render(stamp=self._pages.shelf.stamp(), **content)
        # No encoding writes halves of surrogate pairs, which texts of models may hold.
        return Response(
            well_formed(text), status_code=status, media_type="text/html", headers={"Cache-Control": "no-store"}
        )


async def _guarded(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answer(request)
    response.headers.update(HEADERS)
    return response


def _environment() -> Environment:
    own = PackageLoader("axpo.viewer", "templates")
    environment = templates(ChoiceLoader([own, PrefixLoader({"report": REPORT_TEMPLATES})]))
    environment.globals.update(ALL=ALL, LATEST=LATEST)
    return environment


def _reduced(path: Path, digest: str) -> Reduced:
    """The saved image.

    Raises:
        OSError, ImageProblemError: it cannot be read.
        DamagedFileError: it is another image, or elsewhere.
    """
    if path.is_symlink():
        raise DamagedFileError(f"{path.name} is a link; images of rollouts are files")
    image = ImageRef.from_file(path)
    if image.digest != digest:
        raise DamagedFileError(f"{path.name} holds another image than the one that was saved")
    return Reduced.of(image, SIDE)


def _json(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")

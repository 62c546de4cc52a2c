"""Defines `ImageSearchService`, a client of a JSON service that finds images by an image."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.backends.image_search._types import FoundImage
from axpo_envs.backends.search._types import finite_score
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.images import ImageRef
from axpo_envs.imaging._data_urls import is_data_url, read_base64, read_data_url
from axpo_envs.imaging._decoding import pixels_of
from axpo_envs.imaging.files import ImageProblemError, open_image
from axpo_envs.imaging.showing import view_image
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.web._environment_key import EnvironmentKey
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.plumbing.web.service import Service, checked_url
from axpo_envs.tool.protocol import Effects

MAX_FOUND_PIXELS: Final = 4_000_000
"""Pixels of an image of an answer; a larger one is not decoded."""
MAX_FOUND_CHARS: Final = 8 << 20
"""Characters of an image of an answer, in base64."""

_ADVICE: Final = {404: "is this the whole address, such as http://host:8000/image_search?"}


class ImageSearchService:
    """Asks a JSON service for images that are like one.

    `POST url` with `{"image": PNG in base64, "top_k": k}` is answered by `{"results": [...]}`; a result is
    `{"caption"?, "page"?, "image"?, "score"?}` with the image as base64 or as a `data:` URL. Addresses of images are
    not fetched. A result whose image cannot be decoded, or is too large, is given without it.

    Args:
        url: the whole address.
        key: environment variable that holds the service's key, sent as `Authorization: Bearer`; None for none.
        name: names what the service serves in the fingerprint, wherever it runs; its address by default.
        sent_size: longer side in pixels to which a larger image is reduced before it is sent.
        timeout_s: seconds for one attempt (see `Service`).
        retries: how often and when a failed attempt is repeated.

    Raises:
        EnvConfigError: the address is none, or holds a secret; a setting is out of range; httpx is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        name: str = "",
        sent_size: int = 768,
        timeout_s: float = 30.0,
        retries: Retries | None = None,
    ) -> None:
        if sent_size < 1:
            raise EnvConfigError(f"expected sent_size >= 1 pixel; got {sent_size}")
        self._url = checked_url(url)
        self._name = name or url
        self._sent_size = sent_size
        self._service = Service(
            timeout_s=timeout_s,
            retries=Retries() if retries is None else retries,
            key=None if key is None else EnvironmentKey(key),
            advice=_ADVICE,
        )

    def __repr__(self) -> str:
        return f"ImageSearchService({self._url!r})"

    @property
    def fingerprint(self) -> str:
        """The service's name or address, and the size of what is sent."""
        return f"image-service:{self._name}, sent_size={self._sent_size}"

    @property
    def effects(self) -> Effects:
        """External: what stands behind the address may change."""
        return Effects.EXTERNAL

    def check(self) -> None:
        """Makes sure that the key is there.

        Raises:
            EnvConfigError: it is not.
        """
        self._service.check()

    def close(self) -> None:
        """Closes the connections; a later request opens new ones."""
        self._service.close()

    def search(self, image: ImageRef, top_k: int) -> tuple[FoundImage, ...]:
        """The service's results in its order, at most `top_k`.

        Raises:
            InfrastructureFault: the service stays unreachable after all retries, or answers in another format.
            ServiceRefusedError: the service refuses the request.
            EnvConfigError: the key is missing.
        """
        png = view_image(image, self._sent_size).to_png()
        request = {"image": base64.b64encode(png).decode("ascii"), "top_k": top_k}
        answer = self._service.post(self._url, request)
        match answer:
            case {"results": [*results]}:
                return tuple(self._found(result) for result in results[:top_k])
        raise InfrastructureFault(f'{self._url}: expected an answer {{"results": [...]}}; got {repr(answer)[:200]}')

    def _found(self, result: Any) -> FoundImage:
        if not isinstance(result, Mapping):
            raise InfrastructureFault(f"{self._url} answered with a result that is no object: {brief(result)}")
        texts = {name: "" if result.get(name) is None else result[name] for name in ("caption", "page")}
        if wrong := [name for name, text in texts.items() if not isinstance(text, str)]:
            raise InfrastructureFault(f"{self._url} answered with a {wrong[0]} that is no text: {brief(result)}")
        return FoundImage(image=_picture(result.get("image")), score=finite_score(result.get("score")), **texts)


def _picture(given: Any) -> ImageRef | None:
    """The image of a result; None where it gives none that can be shown."""
    if not isinstance(given, str) or not given or len(given) > MAX_FOUND_CHARS:
        return None
    try:
        data = read_data_url(given) if is_data_url(given) else read_base64(given)
        with open_image(data, max_pixels=MAX_FOUND_PIXELS) as opened:
            return ImageRef(pixels_of(opened))
    except ImageProblemError:
        return None

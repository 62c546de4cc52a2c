"""Searching by an image: what looks compare, the index on disk, the client of a service, and the tool."""

from __future__ import annotations

import base64
import io
import json
import pickle
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from axpo_envs import EnvConfigError, ImageRef, InfrastructureFault, Question, Retries, call_turn
from axpo_envs.backends.image_search import (
    FoundImage,
    ImageIndex,
    ImageSearchService,
    Looks,
    SentenceTransformerImageEncoder,
    build_image_index,
)
from axpo_envs.images import Size
from axpo_envs.plumbing.web.service import ServiceRefusedError
from axpo_envs.scenes._backdrops import _installed_photographs
from axpo_envs.testing import check_tool
from axpo_envs.tools import Effects, ImageSearch, Seen, ToolArgumentError, ToolContext, ToolError

PNG = b"\x89PNG\r\n\x1a\n"


def flat(*levels: int, side: int = 40) -> ImageRef:
    return ImageRef(np.full((side, side, 3), levels, np.uint8))


def noise(seed: int, side: int = 64) -> ImageRef:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return ImageRef.from_pil(Image.fromarray(coarse).resize((side, side), Image.Resampling.NEAREST))


ROWS: list[dict[str, Any]] = [
    {"image": noise(0), "caption": "The north gate", "page": "https://example.org/gate"},
    {"image": noise(1, side=600), "caption": "A harbour", "page": "https://example.org/harbour"},
    {"image": noise(2)},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("index")
    assert build_image_index(ROWS, place) == 3
    return place


def context(*images: ImageRef) -> ToolContext:
    return ToolContext(question=Question(id="q", prompt=images, answer=""), images=images, seed=0)


def alike(one: ImageRef, other: ImageRef, **settings: float) -> float:
    first, second = Looks(**settings).encode([one, other])
    return float(first @ second)


def test_colours_are_compared_by_distance() -> None:
    white, black, red = flat(255, 255, 255), flat(0, 0, 0), flat(255, 0, 0)
    # White and black are opposite points of the sphere; red shares one of three levels with white: (1 - 1 - 1) / 3.
    assert alike(white, white, hash_weight=0) == pytest.approx(1, abs=1e-6)
    assert alike(white, black, hash_weight=0) == pytest.approx(-1, abs=1e-6)
    assert alike(white, red, hash_weight=0) == pytest.approx(-1 / 3, abs=1e-6)


def test_a_negative_has_the_opposite_outlines() -> None:
    image = noise(3)
    negative = ImageRef(255 - image.pixels)
    # Of 64 signs the brightness's and the median's own stay; the other 62 change: (2 - 62) / 64.
    assert alike(image, negative, hash_weight=1) == pytest.approx(-60 / 64, abs=1e-6)
    assert alike(flat(9, 9, 9), flat(200, 200, 200), hash_weight=1) == pytest.approx(1, abs=1e-6)


@given(pixels=arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
@settings(max_examples=40)
def test_every_image_has_a_vector_of_length_1(pixels: NDArray[np.uint8]) -> None:
    (vector,) = Looks().encode([ImageRef(pixels)])
    assert (vector.shape, vector.dtype) == ((257,), np.float32)
    assert float(vector @ vector) == pytest.approx(1, abs=1e-5)


def test_copies_of_photographs_are_found(tmp_path: Path) -> None:
    def as_jpeg(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=20)
        return Image.open(file)

    photos = [ImageRef.from_file(path) for path in _installed_photographs()]
    build_image_index([{"image": photo, "caption": str(number)} for number, photo in enumerate(photos)], tmp_path)
    index = ImageIndex(tmp_path)
    for change in (
        as_jpeg,
        lambda image: image.resize((image.width // 2, image.height // 3)),
        lambda image: image.point(lambda level: min(255, level + 25)),
        lambda image: image.crop((image.width // 20, image.height // 20, image.width, image.height)),
    ):
        copies = [ImageRef.from_pil(change(photo.to_pil())) for photo in photos]
        found = [index.search(copy, 1)[0].caption for copy in copies]
        assert found == [str(number) for number in range(len(photos))]


def test_a_search_gives_the_most_alike_first(folder: Path) -> None:
    index = ImageIndex(folder)
    first, *others = index.search(noise(1, side=128), 3)
    assert (first.caption, first.page) == ("A harbour", "https://example.org/harbour")
    assert first.image is not None
    # Copies have at most 256 pixels on their longer side.
    assert first.image.size == (256, 256)
    assert first.score == pytest.approx(1, abs=0.05)
    assert all(other.score is not None and first.score > other.score for other in others)
    assert len(index.search(noise(1), 2)) == 2
    assert len(index.search(noise(1), 50)) == len(index) == 3


def test_equally_alike_images_keep_the_order_of_their_rows(tmp_path: Path) -> None:
    build_image_index([{"image": noise(4), "caption": name} for name in "bac"], tmp_path)
    assert [found.caption for found in ImageIndex(tmp_path).search(noise(4), 3)] == ["b", "a", "c"]


def test_an_index_is_built_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "gate.png").write_bytes(noise(0).to_png())
    address = "data:image/png;base64," + base64.b64encode(noise(1).to_png()).decode()
    lines = [{"image": "pictures/gate.png", "caption": "half \ud800\n pair", "page": None}, {"image": address}]
    source = tmp_path / "images.jsonl"
    source.write_text("\ufeff" + "\n\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert build_image_index(source, tmp_path / "index") == 2
    index = ImageIndex(tmp_path / "index")
    (gate,) = index.search(noise(0), 1)
    assert (gate.caption, gate.page, gate.image) == ("half \ufffd pair", "", noise(0))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"images.jsonl:2: expected a JSON object; the line is not valid JSON"),
        ("[1]", r'images.jsonl:2: expected \{"image", "caption", "page"\}; got \[1\]'),
        ('{"caption": "x"}', r'images.jsonl:2: expected \{"image"'),
        ('{"image": "x.png", "title": "x"}', r"images.jsonl:2: expected the fields image, caption, page; got 'title'"),
        ('{"image": "good.png", "caption": 5}', r"images.jsonl:2: expected caption to be text"),
        ('{"image": "no.png"}', r"images.jsonl:2: image: cannot read the image file .*no.png"),
        ('{"image": "images.jsonl"}', r"images.jsonl:2: image: .* cannot be decoded"),
        ('{"image": "https://example.org/x.png"}', r"images.jsonl:2: image: .*download it first"),
        ("\xff", r"images.jsonl:2: expected UTF-8 text"),
    ],
)
def test_a_wrong_row_is_told_with_its_line_and_nothing_is_built(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "good.png").write_bytes(noise(0).to_png())
    source = tmp_path / "images.jsonl"
    source.write_bytes(b'{"image": "good.png"}\n' + line.encode("latin-1"))
    with pytest.raises(EnvConfigError, match=message):
        build_image_index(source, tmp_path / "index")
    assert not (tmp_path / "index" / "index").exists()


def test_no_images_no_file_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvConfigError, match="at least one image"):
        build_image_index([], tmp_path)
    with pytest.raises(EnvConfigError, match=r"cannot read the images .*none.jsonl"):
        build_image_index(tmp_path / "none.jsonl", tmp_path)
    with pytest.raises(EnvConfigError, match="expected the folder of an image index"):
        ImageIndex(tmp_path)
    with pytest.raises(EnvConfigError, match="copy_size >= 1"):
        build_image_index(ROWS, tmp_path, copy_size=0)
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureFault, match="cannot write the image index"):
        build_image_index(ROWS, tmp_path / "file")


def test_a_build_that_is_broken_off_leaves_the_old_index(tmp_path: Path) -> None:
    build_image_index(ROWS[:1], tmp_path)
    before = ImageIndex(tmp_path)

    def rows() -> Iterator[Mapping[str, Any]]:
        yield from ({"image": noise(number)} for number in range(10, 50))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_image_index(rows(), tmp_path)
    assert ImageIndex(tmp_path).fingerprint == before.fingerprint
    build_image_index(ROWS[1:], tmp_path)
    # Who has the old one open goes on.
    assert before.search(noise(0), 1)[0].caption == "The north gate"
    assert ImageIndex(tmp_path).fingerprint != before.fingerprint


def test_damage_is_found(tmp_path: Path) -> None:
    build_image_index(ROWS, tmp_path)
    index = ImageIndex(tmp_path)
    table = tmp_path / "index"
    whole = table.read_bytes()
    for place in (0, 25, 60, len(whole) // 2, len(whole) - 1):
        table.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(EnvConfigError, match="is damaged, build it anew"):
            ImageIndex(tmp_path)
    table.write_bytes(whole)
    (copy, *others) = (tmp_path / "images").rglob("*.png")
    png = copy.read_bytes()
    copy.write_bytes(png[:-1])
    with pytest.raises(EnvConfigError, match="is missing or cut short"):
        ImageIndex(tmp_path)
    for path in (copy, *others):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InfrastructureFault, match="does not match its name"):
        index.search(noise(0), 1)


class Brightness:
    """An encoder of one number."""

    fingerprint = "brightness"

    def encode(self, images: Sequence[ImageRef]) -> NDArray[np.float32]:
        return np.array([[image.pixels.mean() / 255] for image in images], dtype=np.float32)


class Broken(Brightness):
    """An encoder of a wrong shape."""

    def encode(self, images: Sequence[ImageRef]) -> NDArray[np.float32]:
        return np.full(len(images), np.nan, dtype=np.float32)


def test_an_encoder_of_ones_own_decides_what_is_alike(tmp_path: Path) -> None:
    rows = [{"image": flat(*[level] * 3), "caption": str(level)} for level in (10, 200, 90)]
    build_image_index(rows, tmp_path, encoder=Brightness())
    index = ImageIndex(tmp_path, Brightness())
    assert [found.caption for found in index.search(flat(255, 255, 255), 3)] == ["200", "90", "10"]
    with pytest.raises(EnvConfigError, match=r"was made by the encoder 'brightness'; got 'looks-1:0.5'"):
        ImageIndex(tmp_path)
    with pytest.raises(EnvConfigError, match=r"expected finite vectors of shape \(3, width\); got shape \(3,\)"):
        build_image_index(rows, tmp_path, encoder=Broken())
    with pytest.raises(EnvConfigError, match="expected an ImageEncoder"):
        ImageIndex(tmp_path, Brightness)  # type: ignore[arg-type]


def checkpoint(folder: Path) -> Path:
    """A sentence-transformers checkpoint of a CLIP with random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

    vocabulary = {token: number for number, token in enumerate(["a", "a</w>", "<|startoftext|>", "<|endoftext|>"])}
    views = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    CLIPProcessor(views, CLIPTokenizer(vocab=vocabulary, merges=[])).save_pretrained(folder / "inner")
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": 4, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 3}
    config = CLIPConfig(
        text_config={**small, **tokens},
        vision_config={**small, "image_size": 16, "patch_size": 8},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(folder / "inner")
    model = SentenceTransformer(modules=[Transformer(str(folder / "inner"))], device="cpu")
    model.save(str(folder / "whole"))
    return folder / "whole"


def test_a_checkpoint_of_sentence_transformers_embeds_images(tmp_path: Path) -> None:
    encoder = SentenceTransformerImageEncoder(checkpoint(tmp_path))
    rows = encoder.encode([noise(0), noise(1), noise(0)])
    assert (rows.shape, rows.dtype) == ((3, 12), np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(rows[0], rows[2], rtol=1e-4)
    build_image_index(ROWS, tmp_path / "index", encoder=encoder)
    index = pickle.loads(pickle.dumps(ImageIndex(tmp_path / "index", encoder)))
    assert index.search(noise(2), 1)[0].score == pytest.approx(1, abs=1e-4)
    with pytest.raises(EnvConfigError, match="expected the folder of a sentence-transformers checkpoint"):
        SentenceTransformerImageEncoder(tmp_path)


def test_an_index_travels_as_its_folder(folder: Path) -> None:
    index = ImageIndex(folder)
    again = pickle.loads(pickle.dumps(index))
    assert again.fingerprint == index.fingerprint
    assert again.search(noise(2), 1) == index.search(noise(2), 1)


class Service(ThreadingHTTPServer):
    """Answers with the given replies in turn, the last one for ever; keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/image_search"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.headers.get("Authorization", ""), body))
        replies = self.server.replies
        status, answer = replies.pop(0) if len(replies) > 1 else replies[0]
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps quiet."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Service()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def no_sleep(seconds: float) -> None:
    """Waits for nothing."""


def client_of(service: Service, **settings: Any) -> ImageSearchService:
    return ImageSearchService(service.url, retries=Retries(attempts=2, sleep=no_sleep), **settings)


def in_base64(image: ImageRef) -> str:
    return base64.b64encode(image.to_png()).decode()


def test_a_service_is_sent_the_image_and_read_in_its_order(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGES_KEY", "s3cret-0123456789")
    small = flat(1, 2, 3)
    results = [
        {"caption": " two\nlines ", "page": "https://a.test", "image": in_base64(small), "score": 0.5},
        {"image": f"data:image/png;base64,{in_base64(small)}", "score": "high"},
        {"caption": "beyond top_k"},
    ]
    service.replies = [(503, {}), (200, {"results": results})]
    client = client_of(service, key="IMAGES_KEY", sent_size=10)
    assert client.search(noise(0), 2) == (
        FoundImage(caption="two lines", page="https://a.test", image=small, score=0.5),
        FoundImage(caption="", page="", image=small),
    )
    client.close()
    (_, first), (key, body) = service.requests
    assert (key, first) == ("Bearer s3cret-0123456789", body)
    assert body["top_k"] == 2
    assert ImageRef.from_bytes(base64.b64decode(body["image"])).size == (10, 10)
    assert client.effects is Effects.EXTERNAL
    assert "s3cret" not in f"{client!r}{client.fingerprint}{pickle.dumps(client)!r}"


@pytest.mark.parametrize("image", [5, "", "no base64!", "aGVsbG8=", "data:text/plain,x", "too large"])
def test_a_result_without_a_good_image_keeps_its_text(service: Service, image: Any) -> None:
    if image == "too large":
        image = in_base64(ImageRef(np.zeros((2001, 2000, 3), np.uint8)))
    service.replies = [(200, {"results": [{"caption": "text", "image": image}]})]
    client = client_of(service)
    assert client.search(noise(0), 1) == (FoundImage(caption="text", page=""),)
    client.close()


@pytest.mark.parametrize("answer", [[], {}, {"results": 5}, {"results": ["x"]}, {"results": [{"page": 5}]}])
def test_nonsense_is_the_services_fault(service: Service, answer: Any) -> None:
    service.replies = [(200, answer)]
    client = client_of(service)
    with pytest.raises(InfrastructureFault, match=r"http://127.0.0.1:\d+/image_search"):
        client.search(noise(0), 1)
    client.close()


def test_a_refusal_is_no_fault(service: Service) -> None:
    service.replies = [(404, {"error": "nothing here"})]
    client = client_of(service)
    with pytest.raises(ServiceRefusedError, match="is this the whole address"):
        client.search(noise(0), 1)
    client.close()
    with pytest.raises(EnvConfigError, match="expected an address"):
        ImageSearchService("ftp://x")
    with pytest.raises(EnvConfigError, match="set the environment variable NO_SUCH_KEY"):
        ImageSearch(ImageSearchService("http://x", key="NO_SUCH_KEY"))


def test_the_tool_keeps_its_contract(folder: Path) -> None:
    question = Question(id="q", prompt=(noise(0), "?"), answer="")
    tool = ImageSearch(ImageIndex(folder))
    check_tool(tool, arguments={"img_idx": 0}, question=question, fuzz=50)
    check_tool(tool, arguments={"bbox_2d": [0, 0, 500, 500], "top_k": 2}, question=question, fuzz=50)


def test_the_policy_reads_captions_pages_and_pictures(folder: Path) -> None:
    tool = ImageSearch(ImageIndex(folder), picture_size=20)
    result, state = tool.step(tool.validate({"top_k": 2}), None, context(noise(0)))
    assert state is None
    first, newline, picture, second, *_ = result.content
    assert first == "1. The north gate (similarity 1.00)\npage: https://example.org/gate"
    assert newline == "\n"
    assert isinstance(picture, ImageRef)
    assert picture.size == (20, 20)
    assert str(second).startswith("\n2. ")
    words = ImageSearch(ImageIndex(folder), picture_size=None)
    result, _ = words.step(words.validate({"top_k": 1}), None, context(noise(2)))
    assert result.content == ("1. no caption (similarity 1.00)",)


def test_a_box_searches_by_a_region_in_original_pixels(folder: Path) -> None:
    pixels = np.zeros((640, 640, 3), np.uint8)
    pixels[320:384, 64:128] = noise(1).pixels
    tool = ImageSearch(ImageIndex(folder), picture_size=None)
    box = {"bbox_2d": [100, 500, 200, 600]}
    result, _ = tool.step(tool.validate({**box, "top_k": 1}), None, context(noise(0), ImageRef(pixels)))
    assert not str(result.content[0]).startswith("1. A harbour")
    valid = tool.validate({**box, "img_idx": 1, "top_k": 1})
    result, _ = tool.step(valid, None, context(noise(0), ImageRef(pixels)))
    assert str(result.content[0]).startswith("1. A harbour (similarity 1.00)")
    seen = [Seen(original=Size(64, 64), shown=Size(64, 64)), Seen(original=Size(640, 640), shown=Size(64, 64))]
    (mark,) = tool.marks({**box, "img_idx": 1}, seen)
    assert (mark.image, mark.left, mark.top, mark.width, mark.height) == (1, 64, 320, 64, 64)
    (whole,) = tool.marks({}, seen)
    assert (whole.image, whole.left, whole.width) == (0, 0, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": "x"}, "unknown argument 'query'; known are img_idx, bbox_2d and top_k"),
        ({"img_idx": -1}, "img_idx must be an integer from 0"),
        ({"top_k": 11}, "top_k must be an integer from 1 to 10"),
        ({"bbox_2d": [1, 2, 3]}, "bbox_2d must be a list of 4 numbers"),
        ({"bbox_2d": [1, 2, 3, 4], "bbox": [1, 2, 3, 4]}, "bbox_2d is given twice"),
    ],
)
def test_wrong_arguments_are_told(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        ImageSearch(ImageIndex(folder)).validate(arguments)


def test_what_cannot_be_searched_by_is_told(folder: Path) -> None:
    tool = ImageSearch(ImageIndex(folder))
    with pytest.raises(ToolError, match="there is no image number 1: img_idx must be 0 to 0"):
        tool.step(tool.validate({"img_idx": 1}), None, context(noise(0)))
    with pytest.raises(ToolError, match="there is no image"):
        tool.step(tool.validate({}), None, context())
    with pytest.raises(ToolError, match="reaches outside the image"):
        tool.step(tool.validate({"bbox_2d": [0, 0, 1001, 5]}), None, context(noise(0)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_k": 0}, "1 <= top_k"),
        ({"max_top_k": 51}, "max_top_k <= 50"),
        ({"picture_size": 0}, "picture_size must be at least 1"),
        ({"coords": "pixels"}, "coords must be one of"),
    ],
)
def test_unusable_settings_are_refused(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        ImageSearch(ImageIndex(folder), **settings)
    with pytest.raises(EnvConfigError, match="expected an ImageSearchBackend"):
        ImageSearch(ImageIndex)  # type: ignore[arg-type]


class Nothing:
    """A backend that finds what it is given."""

    fingerprint = "nothing"
    effects = Effects.PURE

    def __init__(self, *found: FoundImage) -> None:
        self._found = found

    def check(self) -> None:
        """Always usable."""

    def search(self, image: ImageRef, top_k: int) -> tuple[FoundImage, ...]:
        return self._found


def test_long_texts_are_cut_and_nothing_found_is_said() -> None:
    tool = ImageSearch(Nothing())
    assert tool.step(tool.validate({}), None, context(noise(0)))[0].content == ("No images were found.",)
    long = ImageSearch(Nothing(FoundImage(caption="x" * 301, page="y" * 501)))
    (text,) = long.step(long.validate({}), None, context(noise(0)))[0].content
    assert text == f"1. {'x' * 297}...\npage: {'y' * 497}..."


def test_a_task_names_its_index_as_text_and_goes_on_with_what_was_found(folder: Path) -> None:
    env = gymnasium.make(
        "axpo/ToolTask-v0",
        questions=[{"id": "place", "prompt": "Where is this?", "answer": "gate", "images": [noise(0).to_pil()]}],
        tools=f"image_search:{folder}",
        render_mode="rgb_array",
    ).unwrapped
    env.reset(seed=0)
    observation, *_ = env.step(call_turn("image_search", {"top_k": 1}))
    assert "1. The north gate (similarity 1.00)" in observation["text"]
    assert [image.shape for image in observation["images"]] == [(64, 64, 3)]
    observation, *_ = env.step(call_turn("image_search", {"img_idx": 1, "top_k": 1}))
    assert "The north gate" in observation["text"]
    assert env.render().shape == (720, 1280, 3)


def test_a_task_names_a_service_as_text(service: Service, folder: Path) -> None:
    service.replies = [(200, {"results": [{"caption": "found"}]})]
    questions = [{"id": "q", "prompt": "?", "answer": "x"}]
    spec = gymnasium.make("axpo/ToolTask-v0", questions=questions, tools=f"image_search:{service.url}").spec
    assert spec is not None
    env = gymnasium.make(EnvSpec.from_json(spec.to_json())).unwrapped
    (tool,) = env.tools
    result, _ = tool.step(tool.validate({}), None, context(noise(0)))
    assert result.content == ("1. found",)
    tool._backend.close()
    for text, message in (("image_search:", "expected 'image_search:FOLDER'"), (f"image_search:{folder}/no", "folder")):
        with pytest.raises(EnvConfigError, match=message):
            gymnasium.make("axpo/ToolTask-v0", questions=questions, tools=text)

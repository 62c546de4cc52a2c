"""Questions about signs on photographs, for a policy that reads text and has the tools `ocr` and `image_zoom_in`.

`python recipes/photo_signs.py FOLDER` writes FOLDER/signs.jsonl and its images: scikit-image's photographs, which keep
their licences, with three signs drawn on each. `photo_signs:Reader` plays them for `axpo sft --demonstrations`.
"""

from __future__ import annotations

import importlib.resources
import json
import random
import re
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from axpo_envs import EpisodeState, call_turn

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
WORDS = ("Gate", "Room", "Track", "Bus", "Dock", "Hall", "Floor", "Exit")
SIDE = 1024
"""Longer side of an image, in pixels."""
HEIGHT = 34
"""Height of the writing, in pixels."""
HELD_OUT = 5
"""Every fifth question is of the split `test`."""


def write_questions(folder: Path, *, count: int, seed: int = 0) -> Path:
    """Writes so many questions with their images; returns the file, which `axpo/ToolTask-v0` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        signs = [(word, rng.randint(10, 99)) for word in rng.sample(WORDS, 3)]
        picture = _photograph(rng.choice(PHOTOGRAPHS))
        _draw(picture, [f"{word} {sign}" for word, sign in signs], rng)
        picture.save(folder / f"{number:04d}.jpg", quality=90)
        word, answer = rng.choice(signs)
        prompt = f"Which number stands beside {word} on a sign?"
        split = "test" if number % HELD_OUT == 0 else "train"
        rows.append(
            {"id": f"sign-{number}", "prompt": prompt, "answer": answer, "images": f"{number:04d}.jpg", "split": split}
        )
    file = folder / "signs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


class Reader:
    """Reads the whole image, and answers with what stands beside the word; guesses where it was not found."""

    def act(self, observation: dict[str, object], state: EpisodeState) -> str:
        """The next turn."""
        word = state.question.text.split()[4]
        if not state.turns:
            return f"<think>I look for {word}</think>" + call_turn("ocr", {"img_idx": 0})
        found = re.search(rf"\b{word} ?(\d\d)\b", str(observation["text"]))
        return f"<think>I can answer</think><answer>{found[1] if found else 10}</answer>"


def _photograph(name: str) -> Image.Image:
    with Image.open(str(importlib.resources.files("skimage") / "data" / name)) as image:
        picture = image.convert("RGB")
    scale = SIDE / max(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)))


def _draw(picture: Image.Image, texts: list[str], rng: random.Random) -> None:
    """White signs with black writing, one in each third of the height."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(HEIGHT)
    for place, text in enumerate(texts):
        width = draw.textlength(text, font) + HEIGHT
        left = rng.uniform(0, picture.width - width)
        top = picture.height * (place + rng.uniform(0.1, 0.7)) / len(texts)
        draw.rectangle((left, top, left + width, top + 1.7 * HEIGHT), fill="white", outline="black")
        draw.text((left + HEIGHT / 2, top + HEIGHT / 4), text, fill="black", font=font)


if __name__ == "__main__":
    print(write_questions(Path(sys.argv[1]), count=int(sys.argv[2]) if len(sys.argv) > 2 else 100))

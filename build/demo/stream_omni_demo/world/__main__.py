"""A look at the domain: sample scenes as one picture, and what can be asked about them.

python -m stream_omni_demo.world --out DIR      writes scenes.png and exchanges.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from stream_omni_demo.world.drawing import draw
from stream_omni_demo.world.sampling import exchanges_about, sample_exchange
from stream_omni_demo.world.scene import Scene, sample_scene

_COLUMNS, _ROWS = 4, 3
_CELL_PX = (330, 260)
_QUESTIONS = 8  # about each scene
_CONVERSATIONS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other scenes (default %(default)s)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(arguments.seed)
    scenes = [sample_scene(generator) for _ in range(_COLUMNS * _ROWS)]
    _sheet(scenes, generator).save(arguments.out / "scenes.png", optimize=True)
    (arguments.out / "exchanges.txt").write_text(_exchanges(scenes, generator), encoding="utf-8")


def _sheet(scenes: list[Scene], generator: np.random.Generator) -> Image.Image:
    width_px, height_px = _CELL_PX
    sheet = Image.new("RGB", (_COLUMNS * width_px, _ROWS * height_px), (60, 60, 60))
    pen = ImageDraw.Draw(sheet)
    for i, scene in enumerate(scenes):
        row, column = divmod(i, _COLUMNS)
        sheet.paste(draw(scene, generator).reduce(2), (column * width_px + 5, row * height_px + 15))
        pen.text((column * width_px + 6, row * height_px + 2), str(i + 1), fill=(255, 255, 255))
    return sheet


def _exchanges(scenes: list[Scene], generator: np.random.Generator) -> str:
    lines: list[str] = []
    for i, scene in enumerate(scenes):
        lines += ["", f"{i + 1}."]
        lines += [f"{e.question}  {e.answer}" for e in exchanges_about(scene, generator, _QUESTIONS)]
    lines += ["", "Without a picture"]
    while len(lines) < len(scenes) * (_QUESTIONS + 2) + _CONVERSATIONS:
        scene_shown, exchange = sample_exchange(generator)
        if scene_shown is None:
            lines.append(f"{exchange.question}  {exchange.answer}")
    return "\n".join(lines[1:]) + "\n"


if __name__ == "__main__":
    main()

"""The question and the picture of the demo."""

from __future__ import annotations

import numpy as np
from PIL import Image

from stream_omni_demo.world.drawing import draw
from stream_omni_demo.world.exchange import Exchange
from stream_omni_demo.world.sampling import exchange_of
from stream_omni_demo.world.scene import Scene, Thing

QUESTION = "What colour is the circle on the left?"
# Held out from training; two circles, so that their places matter
SCENE = Scene(
    things=(
        Thing("circle", "red", "big", 1, 0, 82.0, 236.0, 144.0),
        Thing("cat", "orange", "small", 1, 1, 242.0, 246.0, 84.0),
        Thing("circle", "blue", "small", 1, 2, 398.0, 238.0, 82.0),
    ),
    background="grey",
)
_SEED = 1  # without grain: a small file


def shipped_picture() -> Image.Image:
    return draw(SCENE, np.random.default_rng(_SEED))


def shipped_exchange() -> Exchange:
    exchange = exchange_of(QUESTION, SCENE)
    assert exchange is not None
    return exchange

"""Scenes and their pictures: within the domain, drawn where they say, the same for the same seed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from stream_omni_demo.world.drawing import draw
from stream_omni_demo.world.scene import (
    Scene,
    Thing,
    colour_is_seen,
    colours_of,
    sample_scene,
    sample_scene_with,
    sample_thing,
)
from stream_omni_demo.world.words import NOUNS


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    generator = np.random.default_rng(1)
    return [sample_scene(generator) for _ in range(300)]


def test_things_are_whole_apart_and_where_their_cell_says(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert 1 <= len(scene.things) <= 4
        for thing in scene.things:
            half_px = thing.side_px / 2
            assert half_px <= thing.centre_x_px <= scene.width_px - half_px
            assert half_px <= thing.centre_y_px <= scene.height_px - half_px
            assert int(thing.centre_x_px / scene.width_px * 3) == thing.column
            assert int(thing.centre_y_px / scene.height_px * 3) == thing.row
            assert thing.side_px >= 60
            assert thing.colour in colours_of(thing.noun) and colour_is_seen(thing.colour, scene.background)
        for a, b in itertools.combinations(scene.things, 2):
            sides_px = (a.side_px + b.side_px) / 2
            assert abs(a.centre_x_px - b.centre_x_px) > sides_px or abs(a.centre_y_px - b.centre_y_px) > sides_px
    smallest_px = min(t.side_px / min(s.width_px, s.height_px) for s in scenes for t in s.things if t.size == "big")
    largest_px = max(t.side_px / min(s.width_px, s.height_px) for s in scenes for t in s.things if t.size == "small")
    assert smallest_px > 1.3 * largest_px
    assert {thing.noun for scene in scenes for thing in scene.things} == set(NOUNS)


def test_scenes_are_split_by_what_they_show(scenes: list[Scene]) -> None:
    generator = np.random.default_rng(2)
    held_out = [sample_scene(generator, "held_out") for _ in range(50)]
    assert {scene.split for scene in held_out} == {"held_out"} and {scene.split for scene in scenes} == {"train"}


def test_wanted_things_are_there() -> None:
    generator = np.random.default_rng(3)
    wanted = sample_thing(generator, noun="cat", colour="orange", row=0, column=2)
    for _ in range(20):
        if scene := sample_scene_with([wanted], generator):
            shown = [(thing.noun, thing.colour, thing.place) for thing in scene.things]
            assert ("cat", "orange", "top right") in shown


def test_things_that_cannot_be_together_are_told() -> None:
    generator = np.random.default_rng(3)
    crowd = [sample_thing(generator, row=1, column=1) for _ in range(2)]
    assert all(sample_scene_with(crowd, generator) is None for _ in range(50))


def test_the_same_seed_gives_the_same_picture(scenes: list[Scene]) -> None:
    for scene in scenes[:5]:
        one, two, other = (np.asarray(draw(scene, np.random.default_rng(seed))) for seed in (1, 1, 2))
        assert one.shape == (scene.height_px, scene.width_px, 3)
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("noun", NOUNS)
def test_a_thing_is_drawn_in_its_square_and_mostly_in_its_colour(noun: str) -> None:
    thing = Thing(noun, colours_of(noun)[0], "big", 1, 1, 320.0, 240.0, 200.0)
    scene, empty = Scene((thing,), "grey"), Scene((), "grey")
    for seed in range(2):
        picture, background = (np.asarray(draw(s, np.random.default_rng(seed))).astype(int) for s in (scene, empty))
        changed = np.abs(picture - np.median(background[::16, ::16], axis=(0, 1))).sum(axis=2) > 120
        rows, columns = np.nonzero(changed)
        assert rows.min() >= 130 and rows.max() <= 350 and columns.min() >= 210 and columns.max() <= 430
        assert 8_000 < changed.sum() < 40_000
        red, green, blue = np.median(picture[changed], axis=0)
        if thing.colour == "red":
            assert red > 130 and max(green, blue) < 80
        elif thing.colour == "green":
            assert green > max(red, blue)
        elif thing.colour == "yellow":
            assert min(red, green) > 180 > blue
        elif thing.colour == "black":
            assert max(red, green, blue) < 80

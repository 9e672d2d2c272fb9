import dataclasses

import numpy as np
import pytest

from embedder.data.drawing.backdrop import backdrop
from embedder.data.drawing.bird import draw_bird
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawing.scene import PLACES, Scene, random_scene

FINCH = SPECIES["Common Marshfinch"]


def test_random_scenes_use_every_place_perch_and_cover():
    scenes = [random_scene(np.random.default_rng(seed)) for seed in range(400)]
    assert {scene.surroundings for scene in scenes} == set(PLACES) - {"paper"}
    assert {scene.perch for scene in scenes} == {"branch", "twig", "post", "rock", "ground"}
    assert {scene.cover for scene in scenes} == {"none", "leaves", "twig", "grass"}
    assert all(scene.perch in PLACES[scene.surroundings].perches for scene in scenes)


@pytest.mark.parametrize("name", PLACES)
def test_every_place_can_be_drawn_and_varies(name):
    first, second = (backdrop(PLACES[name], 64, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.size == (32, 32)
    assert (first.tobytes() == second.tobytes()) == (name == "paper")


@pytest.mark.parametrize(
    "change",
    [
        {"surroundings": "lake"},
        {"perch": "branch"},
        {"perch": "twig"},
        {"perch": "post"},
        {"perch": "rock"},
        {"perch": "ground"},
        {"cover": "leaves"},
        {"cover": "twig"},
        {"cover": "grass"},
        {"light_angle": 0.0},
        {"shading": 0.9},
        {"warmth": 0.1},
        {"brightness": 0.8},
        {"contrast": 0.8},
        {"vignette": 0.4},
        {"blur": 0.02},
        {"noise": 8.0},
        {"jitter": 0.1},
    ],
)
def test_every_setting_of_a_scene_changes_the_picture(change):
    plain, changed = (draw_bird(FINCH, 1, 64, scene=dataclasses.replace(Scene(), **one)) for one in ({}, change))
    assert plain.image.tobytes() != changed.image.tobytes()
    assert plain.box == changed.box
    assert plain.mask.tobytes() == changed.mask.tobytes()


def test_the_light_falls_from_its_side():
    def brightness(angle):
        bird = draw_bird(FINCH, 1, 96, scene=Scene(light_angle=angle, shading=0.9))
        left, top, right, bottom = bird.box
        image, mask = np.asarray(bird.image, float).sum(axis=2), np.asarray(bird.mask) == 255
        upper = slice(top, (top + bottom) // 2), slice(left, right)
        return image[upper][mask[upper]].mean()

    assert brightness(-90.0) > 1.1 * brightness(90.0)

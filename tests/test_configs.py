"""Every file below ``configs/`` is a recipe that works: read, documented, and trained by for two steps."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from embedder import Embedder
from embedder.config import Config
from embedder.data.catalog import DATA_SETS
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawn_birds import draw_photos
from embedder.train import default_name, main
from eval.command import parse

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))
LANES = sorted(CONFIGS.glob("lanes/*.yaml"))


def stem(file: Path) -> str:
    return file.stem


def config(*files: Path) -> Config:
    """The settings of some files, the last one winning."""
    _, options = parse(main, [f"--config={file}" for file in files])
    assert options["run"] is None  # so that it is called after the data set
    return Config(*(options[group] for group in ("data", "augment", "mix", "model", "loss", "train")), options["seed"])


def own(file: Path) -> dict[str, Any]:
    """What a file says itself."""
    return yaml.safe_load(file.read_text())


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a group by its dotted key."""
    groups = {name: value for name, value in settings.items() if isinstance(value, dict)}
    return {f"{name}.{key}": value for name, group in groups.items() for key, value in group.items()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of four small photos each."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for label in range(4):
        (root / f"kind{label}").mkdir()
        for number in range(4):
            pixels = 60 * label + generator.integers(0, 60, (48, 56, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"kind{label}" / f"{number}.png")
    return root


@pytest.fixture
def two_steps(photos: Path, tmp_path: Path) -> Callable[..., Embedder]:
    """Train by some files for two steps or a few more, on small photos and from random weights."""

    def train(*files: Path, **more: str) -> Embedder:
        changed = {
            "data.name": "folder",
            "data.root": str(photos),
            "data.size": "32",
            "data.test_size": "96",
            "model.weights": "random",
            "train.batch_size": "8",
            "train.photos_per_class": "4",
            "train.epochs": "2",
            "train.accelerator": "cpu",
            **more,
        }
        arguments = [f"--config={file}" for file in files] + [f"--{key}={value}" for key, value in changed.items()]
        _, options = parse(main, [*arguments, f"--run={tmp_path / 'run'}"])
        return Embedder.open(main(**options))

    return train


@pytest.mark.parametrize("file", RECIPES, ids=stem)
def test_a_recipe_is_that_of_its_data_set_and_says_only_what_is_its_own(file: Path) -> None:
    settings = config(file)
    settings.check()
    assert settings.data.name == default_name(settings.data) == file.stem
    beneath = flat(asdict(config(file.parent / own(file)["base"]) if "base" in own(file) else Config()))
    assert flat(own(file)).keys() == {key for key, value in flat(asdict(settings)).items() if value != beneath[key]}


def test_there_is_a_recipe_for_every_data_set() -> None:
    assert {*DATA_SETS} - {"huggingface", "webdataset"} == {file.stem for file in RECIPES}


@pytest.mark.parametrize("file", RECIPES, ids=stem)
def test_a_recipe_names_its_protocol_its_source_and_its_figure(file: Path) -> None:
    comment = "".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert ("zero-shot" in comment.lower()) or ("closed-set" in comment.lower())
    for word in ("Source: ", "Expected: ", "Measured: "):
        assert word in comment.replace("\n# ", " ")


def test_a_lane_leaves_nothing_of_the_one_beneath() -> None:
    """A lane on top of a recipe overrides each key of the recipe's own lane; but epochs are the recipe's or yours."""
    lanes = [file for file in LANES if "base" not in own(file)]
    assert len(lanes) >= 3
    beneath = {own(recipe)["base"] for recipe in RECIPES if own(recipe).get("base", "").startswith("lanes/")}
    assert {"lanes/resnet50.yaml", "lanes/cpu.yaml"} <= beneath
    for lane in lanes:
        for base in beneath:
            assert flat(own(CONFIGS / base)).keys() - {"train.epochs"} <= flat(own(lane)).keys(), (lane, base)


@pytest.mark.parametrize("lane", LANES, ids=stem)
def test_every_recipe_takes_every_lane(lane: Path) -> None:
    model = config(lane).model
    for recipe in RECIPES:
        settings = config(recipe, lane)
        settings.check()
        assert settings.model == model
        assert settings.data.name == recipe.stem


@pytest.mark.parametrize("file", RECIPES, ids=stem)
def test_a_recipe_trains_a_small_network_for_two_steps(file: Path, two_steps: Callable[..., Embedder]) -> None:
    embedder = two_steps(file, **{"model.backbone": "timm:test_efficientnet"})
    model = config(file).model
    assert embedder.dimension == (256 if model.head == "none" else model.dimension)
    assert embedder.summary["epochs"] == 2


@pytest.mark.parametrize("lane", [lane for lane in LANES if "backbone" in own(lane).get("model", {})], ids=stem)
def test_a_lane_trains_its_own_network_for_two_steps(lane: Path, two_steps: Callable[..., Embedder]) -> None:
    model = config(lane).model
    size = 42 if "patch14" in model.backbone else 32  # photos are whole patches
    embedder = two_steps(CONFIGS / "cub200.yaml", lane, **{"data.size": str(size), "data.test_size": str(3 * size)})
    assert embedder.dimension == (1280 if model.head == "none" else model.dimension)
    assert embedder.summary["backbone"] == model.backbone


def test_the_lane_of_poses_trains_by_keypoints(tmp_path: Path, two_steps: Callable[..., Embedder]) -> None:
    lane = CONFIGS / "lanes" / "cpu-pose.yaml"
    assert config(lane).augment.pose_axis
    draw_photos(tmp_path / "birds", [*SPECIES][:4], 6, 64)
    birds = {"data.name": "drawn_birds", "data.root": str(tmp_path / "birds"), "data.validation": "none"}
    assert two_steps(lane, **birds, **{"model.backbone": "timm:test_efficientnet"}).summary["epochs"] == 2

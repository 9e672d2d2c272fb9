from dataclasses import asdict
from pathlib import Path

import pytest

from embedder.config import RANGES, Config
from embedder.train import main
from eval.command import parse
from eval.errors import InputError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_the_defaults_are_within_their_ranges() -> None:
    Config().check()


@pytest.mark.parametrize("key", RANGES)
def test_a_number_out_of_its_range_is_named(key: str) -> None:
    group, name = key.split(".")
    least, greatest = RANGES[key]
    for value in (least - 1, greatest + 1) if greatest < float("inf") else (least - 1,):
        config = Config()
        setattr(getattr(config, group), name, value)
        with pytest.raises(InputError, match=f"{key} is"):
            config.check()


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_recipe_is_read_and_says_only_what_is_its_own(file: Path) -> None:
    _, options = parse(main, ["--config", str(file)])
    config = Config(*(options[group] for group in ("data", "augment", "model", "loss", "train")), options["seed"])
    config.check()
    assert options["run"] == Path("runs") / file.stem
    assert asdict(config) != asdict(Config())

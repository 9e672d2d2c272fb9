import pytest

from embedder.config import RANGES, Config
from eval.errors import InputError


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

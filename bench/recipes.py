"""What a command line says."""

from dataclasses import asdict, fields, replace

from embedder.config import Config
from embedder.train import main as train
from eval.command import parse
from eval.errors import unknown
from eval.folders import checksum


def recipe(*arguments: str) -> Config:
    """The settings of a run that ``embedder.train`` takes from a command line."""
    _, settings = parse(train, [*arguments])
    return Config(**{one.name: settings[one.name] for one in fields(Config)})


def digest(config: Config) -> str:
    """What names settings, whatever the seed and where the photos lie: those that are not the default.

    So an option that is new changes none, unless a recipe sets it; but nor does a default that becomes another one,
    which every recipe that leaves it to the default follows without a word.
    """
    plain, found = asdict(Config()), asdict(replace(config, seed=0, data=replace(config.data, root=None)))
    groups = [name for name in found if name != "seed"]
    set_ = {name: {key: value for key, value in found[name].items() if value != plain[name][key]} for name in groups}
    return checksum(set_)[:16]


def check_names(option: str, names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown(f"name in {option}", name, known)

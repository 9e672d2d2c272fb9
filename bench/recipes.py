"""What a command line says."""

from dataclasses import fields

from embedder.config import Config
from embedder.train import main as train
from eval.command import parse
from eval.errors import unknown


def recipe(*arguments: str) -> Config:
    """The settings of a run that ``embedder.train`` takes from a command line."""
    _, settings = parse(train, [*arguments])
    return Config(**{one.name: settings[one.name] for one in fields(Config)})


def check_names(option: str, names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown(f"name in {option}", name, known)

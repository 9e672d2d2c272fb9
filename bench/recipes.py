"""The settings of a run, as a command line says them."""

from dataclasses import fields

from embedder.config import Config
from embedder.train import main as train
from eval.command import parse


def recipe(*arguments: str) -> Config:
    """The settings that ``embedder.train`` takes from a command line."""
    _, settings = parse(train, [*arguments])
    return Config(**{one.name: settings[one.name] for one in fields(Config)})

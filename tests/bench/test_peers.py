"""How many epochs Fieldmark gets beside other libraries."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import peers

EPOCH, REST = 10, 25
"""Seconds of an epoch, and of all else in a training."""


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs of each training of 40 photos; none is trained."""
    epochs: list[int] = []
    clock = count()

    def run_module(_: Path, arguments: list[Any]) -> None:
        if arguments[0] == "embedder.train":
            epochs.append(arguments[arguments.index("--train.epochs") + 1])
            run = arguments[-1]
            run.mkdir(parents=True)
            rows = ["0,0,", *(f"{epoch},{epoch},{EPOCH}" for epoch in range(1, epochs[-1] + 1))]
            (run / "log.csv").write_text("\n".join(["epoch,step,seconds", *rows]))

    def seconds() -> float:
        """When a training begins, and when it ends."""
        return float(0 if next(clock) % 2 == 0 else REST + EPOCH * epochs[-1])

    monkeypatch.setattr(peers, "run_module", run_module)
    monkeypatch.setattr(peers, "time", SimpleNamespace(perf_counter=seconds))
    monkeypatch.setattr(peers, "scores", lambda _: {})
    monkeypatch.setattr(peers, "EmbeddingSet", SimpleNamespace(load=lambda _: None))
    (tmp_path / "training.csv").write_text("path,label,box\n" + "a.jpg,a,\n" * 40)
    return epochs


def test_the_epochs_fill_the_minutes_but_for_a_twentieth(tmp_path: Path, trained: list[int]) -> None:
    found = peers.fieldmark(tmp_path / "one", tmp_path, [], minutes=10, photos=None)
    assert trained == [3, (0.95 * 600 - REST) // EPOCH]
    assert found["fieldmark"] == {"seconds": REST + EPOCH * trained[1], "photos": 40 * trained[1], "steps": trained[1]}
    assert found["fieldmark"] == found[peers.ONE_VIEW]


def test_no_more_photos_are_seen_than_the_others_see(tmp_path: Path, trained: list[int]) -> None:
    assert peers.fieldmark(tmp_path / "one", tmp_path, [], minutes=None, photos=99)["fieldmark"]["photos"] == 80
    assert trained == [2]
    with pytest.raises(ValueError, match="not one epoch of 40 photos fits; give more --minutes or --photos"):
        peers.fieldmark(tmp_path / "other", tmp_path, [], minutes=None, photos=39)

"""How many epochs Fieldmark gets beside other libraries, and which results are added to."""

from argparse import Namespace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import peers
from bench.differences import Result, read_results

ROOT = Path(__file__).parents[2]
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


def test_results_of_another_recipe_are_not_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    trained: list[list[str]] = []

    def fieldmark(_folder: Path, _root: Path, options: list[str], *_: object) -> dict[str, Result]:
        trained.append(options)
        return {side: {"recall@1": 0.5} for side in ("fieldmark", peers.ONE_VIEW)}

    monkeypatch.setattr(peers, "fieldmark", fieldmark)

    def measure(seed: int, options: str = "") -> None:
        asked = {"minutes": 1.0, "photos": None, "cars98": tmp_path, "results": tmp_path / "results.jsonl"}
        peers.measure(Namespace(**asked, options=options), "1 minutes", "fieldmark", seed, tmp_path)

    for _ in range(2):
        measure(0)
        measure(1, "--train.warmup 0.1")
    assert trained == [["--seed", "0"], ["--seed", "1", "--train.warmup", "0.1"]]
    sides = [one["side"] for one in read_results(tmp_path / "results.jsonl")]
    assert sides == ["fieldmark", peers.ONE_VIEW, *(f"{one}, --train.warmup 0.1" for one in sides[:2])]
    monkeypatch.setattr(peers, "RECIPE", (*peers.RECIPE, "--augment.erase", "0.1"))
    with pytest.raises(ValueError, match="holds 'fieldmark' by another recipe; give another --results"):
        measure(2)

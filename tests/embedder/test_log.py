import csv
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import to_rgb as share_rgb
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from embedder.log import Means, RunLog, draw_curves

ROWS = [
    {"epoch": 0, "step": 0, "recall@1": 0.2, "map@r": 0.1},
    {
        "epoch": 1,
        "step": 10,
        "loss": 2.0,
        "recall@1": 0.4,
        "map@r": 0.3,
        "positive_distance": 0.2,
        "negative_distance": 0.9,
    },
]


def test_means_are_over_the_steps_that_tell_something() -> None:
    means = Means()
    for step in range(4):
        means.add({"loss": torch.tensor(float(step)), **({"distance": 0.25 * step} if step % 2 else {})})
        means = Means(means.state())
    assert means.row() == {"loss": 1.5, "distance": 0.5}


def test_rows_become_a_table_events_and_a_picture(tmp_path: Path) -> None:
    log = RunLog(tmp_path, [], 0)
    log.step(5, {"loss": torch.tensor(2.5)})
    for row in ROWS:
        log.epoch(row)
    log.close()
    table = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [{name: float(value) for name, value in row.items() if value} for row in table] == ROWS
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, round(event.value, 5)) for event in events.Scalars("epoch/recall@1")] == [(0, 0.2), (10, 0.4)]
    assert [(event.step, event.value) for event in events.Scalars("step/loss")] == [(5, 2.5)]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height > 200


def test_steps_of_a_long_run_are_whole(tmp_path: Path) -> None:
    log = RunLog(tmp_path, [], 0)
    log.epoch({**ROWS[0], "step": 1_234_567})
    log.close()
    assert next(csv.DictReader((tmp_path / "log.csv").open()))["step"] == "1234567"


def test_a_resumed_log_goes_on_without_gap_or_repetition(tmp_path: Path) -> None:
    first = RunLog(tmp_path, [], 0)
    for row in ROWS:
        first.epoch(row)
    first.step(5, {"loss": 3.0})
    first.step(12, {"loss": 9.0})
    first.close()
    time.sleep(1.1)  # event files are read in the order of their names, which begin with the second
    again = RunLog(tmp_path, [ROWS[0]], 5)
    again.epoch(ROWS[1])
    again.close()
    assert len(list(csv.DictReader((tmp_path / "log.csv").open()))) == 2
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("epoch/recall@1")] == [0, 10]
    assert [event.step for event in events.Scalars("step/loss")] == [5]


def test_a_run_without_validation_or_training_still_draws(tmp_path: Path) -> None:
    for number, row in enumerate(({"epoch": 0, "step": 0}, {"epoch": 1, "step": 4, "loss": 1.0})):
        log = RunLog(tmp_path / str(number), [], 0)
        log.epoch(row)
        log.close()
    assert (tmp_path / "1" / "curves.png").exists()


def to_rgb(colour: str) -> list[int]:
    """A colour as bytes."""
    return [round(255 * share) for share in share_rgb(colour)]


def test_lines_that_lie_on_each_other_are_all_seen(tmp_path: Path) -> None:
    names = ("recall@1", "r_precision", "map@r")
    draw_curves([{"epoch": epoch, **dict.fromkeys(names, 0.5)} for epoch in range(4)], tmp_path / "curves.png")
    pixels = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    *_, lowest = np.flatnonzero((pixels == to_rgb("C2")).all(axis=2).any(axis=1))
    line = pixels[lowest - 20 : lowest + 20]  # below the legend
    for colour in ("C0", "C1", "C2"):
        assert (line == to_rgb(colour)).all(axis=2).sum() > 500, colour

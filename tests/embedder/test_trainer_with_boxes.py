from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from embedder.config import Config
from embedder.trainer import Trainer


def test_a_first_look_knows_which_photos_of_a_step_a_box_has_cut_out(
    config: Config, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(photos.glob("*/*.png"))
    boxes = {str(file): number % 3 == 0 for number, file in enumerate(files)}
    lines = [f"{file},{file.parent.name},{'4 4 36 36' if boxes[str(file)] else ''}" for file in files]
    (tmp_path / "table.csv").write_text("\n".join(["path,label,box", *lines]))
    data = replace(config.data, root=str(tmp_path / "table.csv"), size=64)
    made = Trainer(replace(config, data=data, model=replace(config.model, look="first")), tmp_path / "run")
    told: list[bool] = []
    attended, step = made.attended, made._step

    def spied(number: int, images: torch.Tensor, places: Any, first: int, boxed: torch.Tensor) -> Any:
        told.extend(boxed.tolist())
        return attended(number, images, places, first, boxed)

    def stepped(images: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor) -> None:
        before = len(told)
        step(images, labels, rows)
        catalog = made.data.photos
        assert told[before:] == [boxes[str(catalog.file(row))] for row in rows.tolist()]

    monkeypatch.setattr(made, "attended", spied)
    monkeypatch.setattr(made, "_step", stepped)
    made.train()
    assert {*told} == {True, False}

"""What a run says of itself: ``log.csv``, TensorBoard events and ``curves.png``.

The rows are part of the checkpoint and the files are written from them, so that a resumed run's log has neither gaps
nor repetitions.
"""

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.files import replacing
from eval.metrics import title

Row = dict[str, float]

WIDTHS = (6.0, 3.6, 1.4)
"""Of the lines in a panel, in points: where a line lies on another, the wider one below shows on both sides."""


class Means:
    """Means of what the steps of an epoch tell: each over the steps that tell it."""

    def __init__(self, sums: Mapping[str, tuple[float, int]] | None = None) -> None:
        """Go on from what ``state`` gave."""
        self._sums: dict[str, tuple[Any, int]] = dict(sums or {})

    def add(self, values: Mapping[str, Any]) -> None:
        """Add what one step tells: numbers, or tensors, which are not waited for."""
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, count + 1

    def row(self) -> Row:
        """The means so far."""
        return {name: float(total) / count for name, (total, count) in self._sums.items()}

    def state(self) -> dict[str, tuple[float, int]]:
        """What a checkpoint keeps."""
        return {name: (float(total), count) for name, (total, count) in self._sums.items()}


class RunLog:
    """The rows of a run, one an epoch, and the files made from them."""

    def __init__(self, folder: Path, rows: list[Row], step: int) -> None:
        """Go on from ``rows``, the log up to ``step``; events of later steps are withdrawn."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - takes a second

        self.folder = folder
        self.rows = rows
        self._events = SummaryWriter(str(folder), purge_step=step + 1 if rows else 0)
        self._steps: list[tuple[int, float, Mapping[str, Any]]] = []

    def step(self, step: int, values: Mapping[str, Any]) -> None:
        """Add one training step's values to the events: numbers, or tensors, which are not waited for."""
        self._steps.append((step, time.time(), values))

    def epoch(self, row: Row) -> None:
        """Add one epoch's row, and write ``log.csv`` and the events."""
        self.rows.append(row)
        for name, value in row.items():
            self._events.add_scalar(f"epoch/{name}", value, int(row["step"]))
        self.flush()
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with replacing(self.folder / "log.csv") as beside, beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows({name: _text(value) for name, value in row.items()} for row in self.rows)

    def flush(self) -> None:
        """Hand the events to the system, so that they outlive this process."""
        for step, at, values in self._steps:
            for name, value in values.items():
                self._events.add_scalar(f"step/{name}", float(value), step, at)
        self._steps.clear()
        self._events.flush()

    def close(self) -> None:
        """Draw the curves and end the events."""
        self.flush()
        self._events.close()
        draw_curves(self.rows, self.folder / "curves.png")


class SilentLog(RunLog):
    """The rows of a run on a rank that writes nothing."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def step(self, step: int, values: Mapping[str, Any]) -> None:
        """Let one training step's values go."""

    def epoch(self, row: Row) -> None:
        """Add one epoch's row."""
        self.rows.append(row)

    def flush(self) -> None:
        """There is nothing to hand over."""

    def close(self) -> None:
        """There is nothing to end."""


def draw_curves(rows: list[Row], path: Path) -> None:
    """Draw loss, validation and distances over the epochs; a log that has none of them gives no picture.

    Args:
        rows: the log, one row an epoch.
        path: the PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - not for commands that draw nothing
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    panels = {
        "Training loss": ["loss"],
        "Validation, classes or photos held out": ["recall@1", "r_precision", "map@r"],
        "Cosine distance in batches": ["positive_distance", "negative_distance"],
    }
    panels = {head: [name for name in names if any(name in row for row in rows)] for head, names in panels.items()}
    panels = {head: names for head, names in panels.items() if names}
    if not panels:
        return
    figure = Figure(figsize=(4.6 * len(panels), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (head, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, width in zip(names, WIDTHS[-len(names) :], strict=True):
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), marker="o", linewidth=width, markersize=width + 2, label=title(name))
        axes.set_title(head, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(names) > 1:
            axes.legend(frameon=False, fontsize=8)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=150, format="png")


def _text(value: float) -> str:
    """A number as ``log.csv`` has it; steps and epochs whole."""
    return str(value) if isinstance(value, int) else f"{value:.6g}"

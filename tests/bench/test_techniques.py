"""What bench/techniques.py takes to be the same training, and what it refuses."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import photo_tables, techniques
from bench.differences import read_results
from bench.recipes import digest, recipe
from embedder.data.catalog import read_catalog
from eval.errors import InputError

ROOT = Path(__file__).parents[2]
KIND = {"measured by": "held out", "options": "", "of base": 6}


def test_what_differs_in_views_alone_is_the_same_training() -> None:
    assert techniques.trained_as("mirror view") == techniques.trained_as("base") == "base"
    assert techniques.trained_as("parts, centres, second look, mirror view") == "parts, centres"
    for own in ("first look", "attention pooling", "parts, centres"):
        assert techniques.trained_as(own) == own


def test_a_recipe_by_another_name_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    out = Path("nowhere")
    assert techniques.is_base("cars98", "longer warm-up", "", out)
    assert not techniques.is_base("cars98", "longer warm-up", "--train.warmup 0.1", out)
    assert not techniques.is_base("cars98", "short warm-up", "", out)
    assert not techniques.is_base("cars98", "base", "", out)


def test_what_is_seen_otherwise_is_exported_from_one_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    interrupted: list[str] = []

    def run_module(folder: Path, arguments: list[Any]) -> None:
        done.append(arguments[0])
        if arguments[0] in interrupted:
            raise KeyboardInterrupt
        if arguments[0] == "embedder.train":
            arguments[-1].mkdir()
            (arguments[-1] / "embedder.onnx").touch()
        if arguments[0] == "embedder.export":
            arguments[-1].touch()

    monkeypatch.setattr(techniques, "run_module", run_module)
    monkeypatch.setattr(techniques, "query_work", lambda *_: 1.0)
    found = {"recall@1": 0.5, "classes": [[2, 1.0, 0.5]]}
    monkeypatch.setattr(techniques, "scores", lambda _: found)
    monkeypatch.setattr(techniques, "EmbeddingSet", SimpleNamespace(load=lambda _: None))
    monkeypatch.chdir(ROOT)
    results = tmp_path / "results.jsonl"

    def measured(technique: str) -> list[str]:
        """What has been run to measure a technique."""
        done.clear()
        techniques.measure("cars98", technique, 0, KIND, tmp_path / "runs", results)
        return [one.removeprefix("embedder.") for one in done]

    assert measured("larger photos") == ["train", "embed", "export", "embed"]
    assert measured("base") == []
    assert measured("mirror view") == ["export", "embed"]
    shutil.rmtree(tmp_path / "runs")
    interrupted.append("embedder.embed")
    with pytest.raises(KeyboardInterrupt):
        measured("smaller view")
    interrupted.clear()
    assert measured("smaller view") == ["train", "embed", "export", "embed"]  # and the training is what it was
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    told = {one["technique"]: one.get("training of") for one in rows}
    assert told == {"base": None, "larger photos": "base", "mirror view": "base", "smaller view": "base"}
    assert len({one["settings"] for one in rows}) == 4
    shutil.rmtree(tmp_path / "runs")
    found = {"recall@1": 0.6, "classes": [[2, 1.2, 0.5]]}
    for _ in range(2):
        with pytest.raises(ValueError, match=r"was not the training that .* of its seed"):
            measured("larger photos, smaller view")
    monkeypatch.setitem(techniques.TECHNIQUES, "mirror view", "--model.mirror --model.smaller")
    with pytest.raises(ValueError, match="holds 'mirror view' by other settings; give another --results"):
        techniques.measure("cars98", "mirror view", 1, KIND, tmp_path / "runs", results)


@pytest.mark.parametrize("name", ["screen", "long-parts", "pairs"])
def test_what_is_kept_was_measured_by_what_todays_recipes_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    kept = read_results(ROOT / "bench" / "measured" / f"{name}.jsonl")
    assert len(kept) > 10
    for one in kept:
        now = techniques.training(one["photos"], one["technique"], one["options"], Path("anywhere"))
        assert one["settings"] == digest(recipe(*now))


def test_dearer_steps_make_fewer_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that every technique has the work of the base recipe."""
    trained: list[Any] = []
    monkeypatch.setattr(
        techniques, "run_module", lambda _, arguments: trained.append(arguments) or arguments[-1].mkdir()
    )
    monkeypatch.setattr(techniques, "step_work", lambda *_: 1.5)
    cost = techniques.trained("cars98", "mixup", 0, KIND, tmp_path, tmp_path / "results.jsonl")
    ((*_, option, epochs, _, _),) = trained
    assert (option, epochs) == ("--train.epochs", 4)
    assert (cost["epochs"], cost["work"]) == (4, 1.5)


def test_what_is_measured_by_is_not_trained_on_and_test_classes_wait_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (tmp_path / "photos" / f"kind-{number:02}").mkdir(parents=True)
        (tmp_path / "photos" / f"kind-{number:02}" / "one.jpg").touch()
    catalog = read_catalog(tmp_path / "photos")
    monkeypatch.setattr("embedder.data.catalog.read_catalog", lambda _: catalog)

    def classes(test: bool) -> list[set[str]]:
        """Those that are trained on and those that are measured by."""
        out = tmp_path / str(test)
        photo_tables.write_tables("cars98", "anywhere", out, test)
        tables = [(out / "cars98" / f"{name}.csv").read_text() for name in ("training", "held-out")]
        return [{row["label"] for row in csv.DictReader(table.splitlines())} for table in tables]

    chosen_on, chosen_by = classes(test=False)
    trained_on, tested = classes(test=True)
    assert tested == {f"kind-{number:02}" for number in range(10, 20)}
    assert trained_on == chosen_on | chosen_by == {f"kind-{number:02}" for number in range(10)}
    assert chosen_on and chosen_by and not chosen_on & chosen_by
    with pytest.raises(ValueError, match=r"training\.csv names other photos; give .* another --results"):
        photo_tables.write_tables("cars98", "anywhere", tmp_path / "True", test=False)


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ([], ["--only", "mix-up"], r"name in --only 'mix-up'; did you mean 'mixup'"),
        ([], ["--sets", "cars89"], r"name in --sets 'cars89'; did you mean 'cars98'"),
        ([KIND], ["--test"], "holds results of another kind; give another --results"),
        ([KIND], ["--epochs", "8,3"], "holds results of another kind"),
        ([KIND], ["--options", "--train.warmup 0.3"], "holds results of another kind"),
    ],
)
def test_what_would_be_mixed_up_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, object]], options: list[str], message: str
) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps({"photos": "cars98", **line}) + "\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["techniques.py", "run", "cars", "birds", "--results", str(results), *options])
    with pytest.raises((InputError, ValueError), match=message):
        techniques.main()

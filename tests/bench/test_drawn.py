"""How ways are compared on drawn birds, and which birds are drawn for it."""

import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench import drawn, pose, small_subjects
from bench.differences import Result, read_results
from bench.recipes import digest
from embedder.config import Config, DataSettings
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawing.species import differences

ROOT = Path(__file__).parents[2]


def measured(run: Path, _folder: Path, way: str) -> dict[str, Result]:
    """Of two classes, 3 and 1 queries, the first is right more often by the second way, and by later seeds."""
    right = 1 + (way == "other") + int(run.name[-1]) / 10
    return {"birds": {"recall@1": right / 4, "map@r": right / 4, "classes": [[3, right, right], [1, 0.0, 0.0]]}}


def options(tmp_path: Path, **changes: object) -> Namespace:
    wanted = {"folder": tmp_path, "seeds": 2, "ways": ["base", "other"], "held_out": False}
    return Namespace(**wanted | {"results": tmp_path / "results.jsonl"} | changes)


def test_what_is_measured_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[str] = []

    def fit(_: Config, run: Path) -> Path:
        trained.append(run.name)
        return run

    monkeypatch.setattr(drawn, "fit", fit)
    monkeypatch.setattr(drawn, "few_classes", lambda _: "few")

    def compare(size: int = 64, **changes: object) -> str:
        def settings(folder: Path, _: str, seed: int) -> Config:
            return Config(DataSettings(root=str(folder), size=size), seed=seed)

        capsys.readouterr()
        trained.clear()
        drawn.compare(options(tmp_path, **changes), [tmp_path], settings, measured)
        return capsys.readouterr().out

    table = compare()
    assert trained == ["base-0", "other-0", "base-1", "other-1"]
    assert "| base | 2 | 0.263 ± 0.018 |  |" in table
    assert "| other | 2 | 0.512 ± 0.018 | +0.250 [" in table
    assert table.endswith("few\n")
    again = compare(seeds=3)
    assert trained == ["base-2", "other-2"]
    assert "| other | 3 |" in again
    with pytest.raises(ValueError, match="holds results of another kind; give another --results"):
        compare(held_out=True)
    with pytest.raises(ValueError, match="holds 'base' by other settings; give another --results"):
        compare(size=96)
    assert len(read_results(tmp_path / "results.jsonl")) == 6


def test_queries_of_several_folders_are_taken_together() -> None:
    one = {"classes": [[3, 3.0, 1.5]]}
    two = {"classes": [[1, 0.0, 0.5], [4, 1.0, 2.0]]}
    assert drawn.together([one, two]) == {
        "recall@1": 4 / 8,
        "map@r": 4 / 8,
        "classes": [[3, 3.0, 1.5], [1, 0.0, 0.5], [4, 1.0, 2.0]],
    }


@pytest.mark.parametrize("script", [pose, small_subjects])
def test_what_is_kept_was_measured_by_todays_settings(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    kept = read_results(ROOT / "bench" / "measured" / f"{script.__name__.rpartition('.')[2]}.jsonl")
    assert len(kept) > 4
    for way in {one["way"] for one in kept}:
        now = digest(script.settings(Path("anywhere"), way, 7))
        assert {one["settings"] for one in kept if one["way"] == way} == {now}


@pytest.mark.parametrize("script", ["pose", "small_subjects"])
def test_results_go_where_the_script_says(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"bench/{script}.py", "folder", "--ways", "other"])
    read = drawn.read_options("", ["base", "other", "third"])
    assert read.results == Path(f"bench/measured/{script}.jsonl")
    assert read.ways == ["base", "other"]


def test_species_that_are_made_are_in_no_guide_and_differ() -> None:
    made = pose.made_species(16)
    assert len(made) == 64
    assert not made.keys() & SPECIES.keys()
    kinds = [*made.values()]
    for genus in range(16):
        members = kinds[4 * genus : 4 * genus + 4]
        assert all(1 <= len(differences(members[0], one)) <= 3 for one in members[1:])


def test_birds_to_be_tested_in_rare_poses_are_all_turned_and_of_those_trained_on_one_in_twelve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pose, "draw_bird", lambda *_, pose: pose)
    kinds = [*pose.KINDS][:3]

    def turned(name: str) -> list[bool]:
        """Whether each bird stands far from level, which those in common poses do by 9 degrees at most."""
        angles = [abs(one.angle) for _, one in pose.birds(name, kinds, 32, 0)]
        assert all(angle <= 9 or 41 <= angle <= 139 for angle in angles)
        return [angle >= 41 for angle in angles]

    assert turned("rare") == [True] * 96
    assert turned("train") == [number % 12 == 0 for number in range(32)] * 3
    assert turned("references") == turned("common") == [False] * 96


def test_small_birds_take_a_fifth_to_a_third_of_their_photos_anywhere() -> None:
    birds = [bird for _, bird in small_subjects.birds([*SPECIES][::6], 6, 100)]
    boxes = np.array([bird.box for bird in birds]) / small_subjects.SIDE
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert len(birds) >= 36
    assert 0.18 < sides.min() < np.median(sides) < sides.max() < 0.36
    assert 0.2 < np.median(sides) < 0.33
    middles = (boxes[:, 2:] + boxes[:, :2]) / 2
    assert (middles.std(axis=0) > 0.15).all()

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from eval.command import parse
from eval.errors import InputError
from eval.recipes import Layer, dotted, layers


@dataclass
class Shape:
    """A shape.

    Attributes:
        sides: how many.
        length: of a side.
        options: others.
    """

    sides: int = 3
    length: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


def train(*, shape: Shape, seed: int = 0) -> None:
    """Train."""


def write(folder: Path, **files: str) -> Path:
    """YAML files by their names; returns the folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def settings(*files: Path) -> tuple[Shape, int]:
    _, options = parse(train, [word for file in files for word in ("--config", str(file))])
    return options["shape"], options["seed"]


def test_a_file_says_only_what_its_base_does_not(tmp_path: Path) -> None:
    write(tmp_path, lowest="shape: {sides: 4, length: 2}\nseed: 1\n", middle="base: lowest\nseed: 2\n")
    write(tmp_path, top="# a comment\nshape:\n  sides: 5\nbase: middle\n")
    assert settings(tmp_path / "top") == (Shape(5, 2.0), 2)
    assert parse(train, [f"--config={tmp_path / 'top'}", "--seed", "7"])[1] == {"shape": Shape(5, 2.0), "seed": 7}


def test_a_base_is_relative_to_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", lowest="seed: 1\n", middle="base: lowest\n")
    write(tmp_path, top="base: below/middle\n")
    assert settings(tmp_path / "top") == (Shape(), 1)
    monkeypatch.chdir(tmp_path / "below")
    assert settings(Path("../top")) == (Shape(), 1)


def test_of_several_files_the_last_one_wins(tmp_path: Path) -> None:
    write(tmp_path, lowest="shape: {sides: 4, length: 2}\n", top="base: lowest\nshape: {sides: 5}\nseed: 1\n")
    write(tmp_path, other="shape: {sides: 6}\n")
    assert settings(tmp_path / "top", tmp_path / "other") == (Shape(6, 2.0), 1)
    assert settings(tmp_path / "other", tmp_path / "top") == (Shape(5, 2.0), 1)


def test_values_stay_as_they_are_written(tmp_path: Path) -> None:
    shape = "shape: {length: 1e-4, options: {rate: 1e-4, name: '1e-4', list: [1, null], text: \"a: b # c\"}}\n"
    write(tmp_path, lowest="{}", top=shape + "base: lowest\n", alone=shape)
    assert settings(tmp_path / "top") == settings(tmp_path / "alone")
    assert settings(tmp_path / "top")[0].length == 1e-4


def test_a_mapping_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path, lowest="shape: {options: {a: 1}}", top="base: lowest\nshape: {options: {b: 2}}")
    assert settings(tmp_path / "top")[0].options == {"b": 2}


def test_a_misspelt_key_is_named_wherever_it_stands(tmp_path: Path) -> None:
    write(tmp_path, right="seed: 1\n", wrong="shape: {sidse: 5}\n")
    write(tmp_path, above="base: right\nshape: {sidse: 5}\n", beneath="base: wrong\n", bass="bass: right\n")
    for name in ("above", "beneath"):
        said_in = {"above": "above", "beneath": "wrong"}[name]
        with pytest.raises(InputError, match=rf"/{said_in}: unknown key 'shape\.sidse'.*'shape\.sides'"):
            settings(tmp_path / name)
    with pytest.raises(InputError, match="bass: unknown key 'bass'; did you mean 'base'"):
        settings(tmp_path / "bass")


def test_a_wrong_value_above_a_base_is_told_as_ever(tmp_path: Path) -> None:
    write(tmp_path, lowest="seed: 1\n", top="base: lowest\nshape: {sides: many}\n")
    with pytest.raises(InputError, match=r"^/.*/top: shape\.sides is many; it must be a whole number$"):
        settings(tmp_path / "top")
    with pytest.raises(InputError, match=r"^shape\.sides is few; it must be a whole number$"):
        parse(train, ["--config", str(tmp_path / "lowest"), "--shape.sides", "few"])
    write(tmp_path, group="shape: 4\n")
    with pytest.raises(InputError, match=r"/group: shape is 4, but it is a group of keys"):
        settings(tmp_path / "group")


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, top="base: nowhere.yaml\n")
    with pytest.raises(InputError, match=r"top names the base nowhere\.yaml, and .*/nowhere\.yaml does not exist"):
        settings(tmp_path / "top")


@pytest.mark.parametrize("base", ["[a, b]", "{a: b}", "''", "null"])
def test_a_base_that_is_no_path(tmp_path: Path, base: str) -> None:
    write(tmp_path, top=f"base: {base}\n")
    with pytest.raises(InputError, match=r"top: base is .*; it must be the path of another settings file"):
        settings(tmp_path / "top")


def test_a_circle(tmp_path: Path) -> None:
    write(tmp_path, one="base: two\n", two="base: ./one\n", itself="base: itself\n")
    with pytest.raises(InputError, match=r"one builds on .*two builds on .*one: a circle"):
        settings(tmp_path / "one")
    with pytest.raises(InputError, match="a circle"):
        settings(tmp_path / "itself")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nshape: [1, 2\n", r"broken, line 3: expected ',' or '\]'"),
        ("seed: 1\n\nseed: 2\n", r"broken, line 3: the key seed is there twice"),
        ("shape:\n  sides: 1\n  length: 2\n  sides: 3\n", r"broken, line 4: the key sides is there twice"),
        ("- seed\n", r"broken is not a settings file: it must hold keys"),
        ("4: seed\n", r"broken is not a settings file: it must hold keys"),
        ("seed: \x07\n", r"broken is not YAML"),
    ],
)
def test_a_broken_file_is_named_wherever_it_stands(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, broken=text, top="base: broken\n")
    for name in ("broken", "top"):
        with pytest.raises(InputError, match=message):
            settings(tmp_path / name)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("shape: {} # \xe4".encode("latin-1"))
    for name, message in {"latin": "is not in UTF-8", "nowhere": "No such file", ".": "Is a directory"}.items():
        with pytest.raises(InputError, match=f"settings file .*{message}"):
            settings(tmp_path / name)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, empty="", comment="# nothing\n")
    assert settings(tmp_path / "empty", tmp_path / "comment") == (Shape(), 0)


def test_the_lowest_comes_first(tmp_path: Path) -> None:
    write(tmp_path, lowest="seed: 1\n", top="base: lowest\nseed: 2\n")
    assert layers(tmp_path / "top") == [
        Layer(tmp_path / "lowest", {"seed": 1}),
        Layer(tmp_path / "top", {"seed": 2}),
    ]
    assert layers(tmp_path / "lowest") == [Layer(tmp_path / "lowest", {"seed": 1})]


def test_groups_and_what_is_in_them_have_dotted_keys():
    settings = {"seed": 1, "loss": {"name": "triplet", "options": {"margin": 0.1}}, "none": {}}
    expected = {"seed": 1, "loss": settings["loss"], "loss.name": "triplet", "loss.options": {"margin": 0.1}}
    assert dotted(settings) == {**expected, "loss.options.margin": 0.1, "none": {}}

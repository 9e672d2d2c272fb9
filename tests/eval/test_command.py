import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from eval.command import build_parser, parse, run
from eval.errors import InputError


@dataclass
class Shape:
    """A shape.

    Attributes:
        sides: how many sides.
        colour: its colour.
        filled: whether it is filled.
        size: width and height.
        options: anything else.
    """

    sides: int = 3
    colour: Literal["red", "blue"] = "red"
    filled: bool = False
    size: tuple[float, float] = (1.0, 1.0)
    options: dict[str, float | dict[str, float]] = field(default_factory=dict)


def query(index: Path, *photos: str, k: int = 10, json: bool = False, picture: Path | None = None) -> None:
    """Ask the index.

    Args:
        index: the index folder.
        photos: the photos to ask about.
        k: how many neighbours.
        json: print JSON.
        picture: where to write a picture.
    """


def recall(
    queries: Path, references: Path | None = None, *, on_bad: Literal["skip", "error"] = "skip", out: Path
) -> None:
    """Score."""


def train(*, shape: Shape, seed: int = 0) -> None:
    """Train."""


def calibrate(
    *,
    by: Literal["neighbours", "both"] | None = None,
    rate: float | Literal["auto"] | None = None,
    seed: int | None = None,
    views: Literal["whole", "whole,mirror"] = "whole",
    quick: bool = False,
) -> None:
    """Calibrate."""


def measure(*, k: int = 1) -> Shape:
    """Measure."""
    return Shape(k)


def test_one_and_several_positional_values() -> None:
    assert parse(query, ["a.index", "one.jpg"]) == (
        [Path("a.index"), "one.jpg"],
        {"k": 10, "json": False, "picture": None},
    )
    positional, options = parse(query, ["a.index", "1.jpg", "2.jpg", "--k", "3", "--picture", "p.png"])
    assert positional == [Path("a.index"), "1.jpg", "2.jpg"]
    assert options == {"k": 3, "json": False, "picture": Path("p.png")}


def paths(first: Path, *photos: Path, out: Path | None = None, text: str = "") -> None:
    """Take paths."""


def test_a_single_positional_path_is_not_read_as_a_list_of_paths(tmp_path: Path) -> None:
    listing = tmp_path / "photos.txt"
    listing.write_text("one.jpg\ntwo.jpg\n")
    assert parse(paths, ["a.index", str(listing)])[0] == [Path("a.index"), listing]


@pytest.mark.parametrize("label", ["null", "NULL", "~", "# 1", "None", "1e3", "[a, b]"])
def test_a_label_may_be_called_as_yaml_calls_something_else(label: str) -> None:
    def remove(index: Path, *, label: str | None = None) -> None:
        """Remove."""

    for given in ([f"--label={label}"], ["--label", label]):
        assert parse(remove, ["a.index", *given])[1] == {"label": label}
    assert parse(remove, ["a.index"])[1] == {"label": None}


def test_the_home_folder_is_put_into_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    positional, options = parse(paths, ["~/a", "~/b.jpg", "c/~.jpg", "--out=~/d", "--text", "~/e"])
    assert positional == [Path("/home/me/a"), Path("/home/me/b.jpg"), Path("c/~.jpg")]
    assert options == {"out": Path("/home/me/d"), "text": "~/e"}
    with pytest.raises(InputError, match="~nobody-knows/a names the home folder of a user who is not known"):
        parse(paths, ["~nobody-knows/a", "b"])


def test_flags_are_plain_and_can_be_switched_off() -> None:
    assert parse(query, ["a", "--json", "b.jpg"])[1]["json"] is True
    assert parse(query, ["a", "b.jpg", "--no-json"])[1]["json"] is False
    assert parse(train, ["--shape.filled"])[1]["shape"] == Shape(filled=True)
    assert parse(train, ["--shape.filled", "false"])[1]["shape"] == Shape(filled=False)
    for off in ("--shape.no-filled", "--no-shape.filled"):
        assert parse(train, ["--shape.filled", off])[1]["shape"] == Shape(filled=False)


def test_what_switches_off_takes_no_value() -> None:
    """As no one can say what it would mean."""
    with pytest.raises(InputError, match=r"^--no-json=false has a value, which a --no- takes not; write --json=false$"):
        parse(query, ["a", "b.jpg", "--no-json=false"])


def test_hyphens_and_underscores_are_equal_and_optional_positionals_stay_optional() -> None:
    positional, options = parse(recall, ["q", "--on-bad", "error", "--out", "o"])
    assert positional == [Path("q"), None]
    assert options == {"on_bad": "error", "out": Path("o")}
    assert parse(recall, ["q", "r", "--on_bad=skip", "--out=o"])[0] == [Path("q"), Path("r")]


def test_a_yaml_file_sets_keys_and_the_command_line_wins(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("shape:\n  sides: 5\n  colour: blue\nseed: 7\n")
    _, options = parse(train, ["--config", str(config), "--shape.sides", "6", "--shape.options.margin", "0.5"])
    assert options == {"shape": Shape(6, "blue", options={"margin": 0.5}), "seed": 7}
    assert parse(train, ["--shape.options.arcface.margin", "0.5"])[1]["shape"].options == {"arcface": {"margin": 0.5}}


@pytest.mark.parametrize("key", ["proxy-anchor", "proxy_anchor"])
def test_hyphens_in_the_keys_of_a_mapping_stay(key: str) -> None:
    assert parse(train, [f"--shape.options.{key}=0.5"])[1]["shape"].options == {key: 0.5}
    assert parse(train, [f"--shape.options.{key}.a-b", "0.5"])[1]["shape"].options == {key: {"a-b": 0.5}}


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (train, ["--shape.side", "3"], "--shape.sides"),
        (train, ["--sheed", "3"], "--seed"),
        (train, ["--shape.sides", "many"], "shape.sides is many; it must be a whole number"),
        (train, ["--shape.colour", "green"], "shape.colour is green; it must be one of 'red', 'blue'"),
        (train, ["--shape.size", "3"], r"shape.size is 3; it must be \[a number, a number\]"),
        (recall, ["q"], "arguments are required: --out$"),
        (query, ["a.index"], "arguments are required: PHOTO$"),
        (recall, [], "arguments are required: QUERIES, --out$"),
        (calibrate, ["--by", "foo"], "by is foo; it must be one of 'neighbours', 'both'$"),
        (calibrate, ["--rate", "foo"], "rate is foo; it must be a number or 'auto'$"),
        (calibrate, ["--seed=1.5"], "seed is 1.5; it must be a whole number$"),
        (calibrate, ["--quick=maybe"], "quick is maybe; it must be true or false$"),
    ],
)
def test_mistakes_are_told_in_one_sentence(main, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(main, arguments)


def test_a_wrong_value_in_a_file_is_told_as_one_on_the_command_line_is(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("shape: {colour: green}\n")
    with pytest.raises(InputError, match=r"c\.yaml: shape\.colour is green; it must be one of 'red', 'blue'$"):
        parse(train, ["--config", str(config)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["birds.index", ""], "a name is empty; is a variable of the shell unset"),
        (["", "a.jpg"], "a name is empty"),
        (["birds.index", "--k=3", ""], "a name is empty"),
        (["birds.index", "--json", ""], "a name is empty"),
        (["birds.index", "--no-json", ""], "a name is empty"),
        (["birds.index", "a.jpg", "--picture", ""], "--picture is empty"),
        (["birds.index", "a.jpg", "--picture="], "--picture is empty"),
    ],
)
def test_nothing_is_not_the_current_folder(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(query, arguments)
    parse(query, [f"{argument}x" if argument in {"", "--picture="} else argument for argument in arguments])


def test_help_parts_choices_so_that_each_can_be_told() -> None:
    assert "--views {whole|whole,mirror}" in build_parser(calibrate).format_help()
    assert "--on_bad {skip,error}" in build_parser(recall).format_help()


def test_a_misspelt_key_in_a_file_names_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("shape:\n  sidse: 5\n")
    with pytest.raises(InputError, match=r"shape\.sides"):
        parse(train, ["--config", str(config)])


def test_a_misspelt_group_in_a_file_names_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("shap:\n  sides: 5\n")
    with pytest.raises(InputError, match=r"'shap.sides'.*'shape.sides'"):
        parse(train, ["--config", str(config)])


def test_a_misspelt_mapping_in_a_file_names_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("shape: {opitons: {margin: 0.1}}\n")
    with pytest.raises(InputError, match=r"'shape\.opitons\.margin'.*'shape\.options'"):
        parse(train, ["--config", str(config)])


def test_a_config_that_is_missing_or_is_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        parse(train, ["--config", str(tmp_path / "nowhere.yaml")])
    (tmp_path / "bad.yaml").write_text("shape: [1, 2\n")
    with pytest.raises(InputError, match=r"bad\.yaml, line 2: expected"):
        parse(train, ["--config", str(tmp_path / "bad.yaml")])


@pytest.mark.parametrize("value", ["3", "[1]", "null"])
def test_a_value_in_a_file_where_a_group_belongs(tmp_path: Path, value: str) -> None:
    (tmp_path / "c.yaml").write_text(f"shape: {value}\n")
    with pytest.raises(InputError, match=r"shape is .*, but it is a group of keys, such as shape\.sides"):
        parse(train, ["--config", str(tmp_path / "c.yaml")])


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, 0), (InputError("no\nphotos"), 2), (OSError(28, "No space left"), 2), (KeyboardInterrupt(), 130)],
)
def test_exit_statuses(error: BaseException | None, status: int, capsys) -> None:
    def main() -> None:
        """Do it."""
        if error:
            raise error

    try:
        run(main, [])
        assert status == 0
    except SystemExit as leaving:
        assert leaving.code == status
        assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_keeps_its_traceback() -> None:
    def main() -> None:
        """Do it."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main, [])


def test_what_a_command_returns_is_no_option() -> None:
    with pytest.raises(InputError, match="--config"):
        parse(measure, ["--config", "c.yaml"])


def test_letters_that_the_terminal_lacks(tmp_path: Path) -> None:
    script = tmp_path / "talk.py"
    script.write_text(
        "from eval.command import run\ndef main(label: str) -> None:\n    '''Talk.'''\n    print(label)\nrun(main)\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, script, "Zaunkönig"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "Zaunk\\xf6nig\n"


def test_a_name_that_is_not_utf_8_is_told_in_one_sentence() -> None:
    with pytest.raises(InputError, match=r"the name 'a\\udcff\.jpg' is not UTF-8; rename it"):
        parse(query, ["a.index", "a\udcff.jpg"])


def test_help_shows_what_the_docstring_says(tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(
        "from eval.command import run\n"
        "def main(index: str, *, k: int = 10) -> None:\n"
        "    '''Ask the index.\n\n    Args:\n        index: the folder.\n        k: how many.\n    '''\n"
        "run(main)\n"
    )
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True).stdout
    assert "Ask the index." in shown
    assert "how many." in shown


def test_a_reader_who_has_seen_enough_hears_nothing_more(tmp_path: Path) -> None:
    script = tmp_path / "talk.py"
    script.write_text(
        "from eval.command import run\n"
        "def main() -> None:\n    '''Talk.'''\n    for _ in range(100_000):\n        print('more')\n"
        "run(main)\n"
    )
    command = f"{sys.executable} {script} | head -1"
    script_line = f"{command}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script_line], check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("more\n", "", 141)


def test_what_stands_by_its_place_is_no_option() -> None:
    with pytest.raises(InputError, match="unknown option '--queries'; "):
        parse(recall, ["vectors", "--queries", "x", "--out", "y"])
    with pytest.raises(InputError) as error:
        parse(recall, ["vectors", "--references", "x", "--out", "y"])
    assert "did you mean '--references'" not in str(error.value)
    assert "did you mean '--queries'" not in str(error.value)

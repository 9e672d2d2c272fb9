"""The tables in the documentation are those that the scripts make of what was measured."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from bench import drawn, parts, peers, pose, small_subjects, techniques
from bench.differences import read_results

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("long", "techniques"),
        ("long-parts", "techniques"),
        ("screen", "techniques"),
        ("pairs", "techniques"),
        ("test", "results"),
    ],
)
def test_the_table_of_techniques_is_what_was_measured(
    name: str, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    techniques.show(read_results(ROOT / "bench" / "measured" / f"{name}.jsonl"))
    made = re.sub(r"\|  (?=\|)", "| ", capsys.readouterr().out)
    assert made.count("\n") > 3
    assert made.strip() in (ROOT / "docs" / f"{document}.md").read_text(encoding="utf-8")


def test_the_tables_of_peers_are_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    peers.show(read_results(ROOT / "bench" / "measured" / "peers.jsonl"))
    tables = re.sub(r"\|  (?=\|)", "| ", capsys.readouterr().out).strip().split("\n\n")
    assert len(tables) == 2
    for table in tables:
        assert table in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_table_of_their_options_is_what_they_set(capsys: pytest.CaptureFixture[str]) -> None:
    techniques.show_options()
    made = capsys.readouterr().out.strip()
    assert made in (ROOT / "docs" / "techniques.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", [pose, small_subjects])
def test_the_tables_of_drawn_birds_are_what_was_measured(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    name = script.__name__.rpartition(".")[2]
    drawn.show(read_results(ROOT / "bench" / "measured" / f"{name}.jsonl"), [*script.WAYS])
    made = re.sub(r"\|  (?=\|)", "| ", capsys.readouterr().out).strip()
    assert made.count("\n") > 4
    assert made in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_table_of_parts_is_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    parts.show(read_results(ROOT / "bench" / "measured" / "parts.jsonl"))
    table, _ = capsys.readouterr().out.split("\n\n", maxsplit=1)
    assert table in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")

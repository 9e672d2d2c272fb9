"""What docs/architecture.md says of the rooms: they exist, and so do the signatures that pass between them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIGNATURE = re.compile(r"`\.?(?:\w+\.)?(\w+)\(([^`]*?)\)")


def rooms() -> Iterator[tuple[str, list[Path], str]]:
    """Each row of the tables of rooms: its first cell, its files, and its last cell."""
    floor = ""
    for line in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            floor = next(iter(re.findall(r"`(\w+)/`", line)), "")
        elif floor and line.startswith("| `"):
            first, *_, last = line.strip("| ").split(" | ")
            named = re.findall(r"`([\w/]+\.py)`", first)
            folder = Path(named[0]).parent if named else Path()
            yield first, [ROOT / floor / folder / Path(name).name for name in named], last


def parameters(node: ast.AST) -> set[str]:
    """The names of what a function takes, or of the fields and bases of a class."""
    if isinstance(node, ast.ClassDef):
        fields = {
            one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
        bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
        return fields.union(bases, *(parameters(one) for one in node.body if isinstance(one, ast.FunctionDef)))
    return {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}


@pytest.mark.parametrize(("room", "files", "passed"), [pytest.param(*one, id=one[0]) for one in rooms()])
def test_a_room_has_the_signatures_that_it_is_said_to_have(room: str, files: list[Path], passed: str) -> None:
    assert [file for file in files if not file.exists()] == []
    known: dict[str, set[str]] = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                known[node.name] = known.get(node.name, set()) | parameters(node)
    for name, listed in SIGNATURE.findall(passed):
        if files:
            assert name in known, room
            taken = re.findall(r"(?:^|, )\**(\w+)", re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", listed))
            assert {*taken} <= known[name], (room, name)


def test_every_module_has_its_room() -> None:
    named = {file for _, files, _ in rooms() for file in files}
    modules = {file for floor in ("eval", "embedder", "index") for file in (ROOT / floor).rglob("*.py")}
    drawing = ROOT / "embedder" / "data" / "drawing"  # one room, as a folder
    left = {one for one in modules - named if not one.name.startswith("__") and drawing not in one.parents}
    assert left == set()

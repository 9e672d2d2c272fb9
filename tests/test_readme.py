"""What the README tells people to type works as it stands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawn_birds import draw_photos
from eval.command import build_parser
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where somebody keeps photos of three kinds, and a new one."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "configs").symlink_to(ROOT / "configs")
    draw_photos(folder / "photos", list(SPECIES)[:3], 7, 96)
    photo = next((folder / "photos").rglob("0006.jpg"))
    photo.rename(folder / "new.jpg")
    draw_photos(folder / "collection" / "train", list(SPECIES)[:3], 6, 96)
    draw_photos(folder / "collection" / "test", list(SPECIES)[:3], 2, 96, seed=1)
    for name in ("one.jpg", "two.jpg"):
        (folder / name).write_bytes((folder / "new.jpg").read_bytes())
    return folder


@pytest.mark.parametrize("run", ["runs/mine", "runs/collection"])
def test_the_commands_for_ones_own_photos_run(home: Path, run: str) -> None:
    blocks = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (block,) = (text for text in blocks if f"--run {run}" in text)
    for line in block.splitlines():
        words = shlex.split(line)
        assert words[0] == "python"
        done = subprocess.run([sys.executable, *words[1:]], cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert "recall@1" in done.stdout
    assert ("was trained on" in done.stderr) == (run == "runs/mine")
    for picture in ("evidence.png", "why.png"):
        assert (home / picture).exists() or run != "runs/mine"


def test_the_commands_for_more_of_the_same_kind_run(home: Path) -> None:
    """After the commands above, whose run and index they use."""
    (block,) = (text for text in re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE) if "--views" in text)
    for line in block.splitlines():
        words = shlex.split(line)
        done = subprocess.run([sys.executable, *words[1:]], cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (home / "mirrored" / "trained_on.npy").exists()


def test_the_commands_that_change_an_index_run(home: Path) -> None:
    """After the commands above, whose index they change."""
    draw_photos(home / "more", list(SPECIES)[3:4], 3, 96)
    kind = next((home / "more").iterdir()).name
    (block,) = (
        text for text in re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE) if "index.add" in text
    )
    counts = []
    for line in block.splitlines():
        words = shlex.split(line.replace("KIND", kind))
        done = subprocess.run([sys.executable, *words[1:]], cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        counts.append(re.search(r"references \d+|added \d+|removed \d+|relabelled \d+", done.stdout))
    assert [found and found.group() for found in counts] == [
        "added 3",
        "relabelled 1",
        "removed 2",
        "references 23",
        "references 23",
        None,
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README asks with curl, which is not here")
@pytest.mark.parametrize("port", [8000, 8001])
def test_the_commands_that_serve_an_index_run(home: Path, port: int) -> None:
    """After the commands above, whose index they serve; on ports that are free."""
    blocks = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (block,) = (text for text in blocks if f"--port {port}" in text)
    answers: list[dict[str, Any]] = []
    service: subprocess.Popen[str] | None = None
    address = ""
    try:
        for line in block.splitlines():
            if "index.serve" in line:
                words = [sys.executable, *shlex.split(line.replace(f"--port {port}", "--port 0"))[1:]]
                service = subprocess.Popen(
                    words, cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
                assert service.stdout
                address = re.findall(r"http://[\d.]+:\d+", service.stdout.readline())[0]
                continue
            asked = line.replace(f"http://127.0.0.1:{port}", address).replace("python ", f"{sys.executable} ")
            asked = asked.replace("GENERATION", str(answers[-1]["generation"]) if answers else "")
            done = subprocess.run(["bash", "-c", asked], cwd=home, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            if line.startswith("curl"):
                answers.append(json.loads(done.stdout))
    finally:
        if service:
            service.terminate()
            service.communicate()
    assert service
    assert service.returncode == 0
    if port == 8000:
        assert len(answers[0]["answers"][0]["neighbours"]) == 5
    else:
        assert (answers[0]["added"], answers[1]["generation"]) == (1, answers[0]["generation"] + 1)
        assert len([*(home / "mine.taught").iterdir()]) == 1


def test_the_library_runs_without_torch(home: Path) -> None:
    """After the commands above, whose run and index it uses."""
    (block,) = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    check = "\nassert vectors.shape == (2, 1280)\nimport sys\nassert 'torch' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", block + check], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[(" in done.stdout


def test_targets_files_and_pictures_that_it_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)`", README)) | {"demo", "test"} <= targets
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_command_answers_help() -> None:
    modules = set(
        re.findall(r"python -m ([a-z_.]+)", README + (ROOT / "Makefile").read_text().replace("$(RUN)", "python"))
    )
    modules = {module for module in modules if module.split(".")[0] in {"embedder", "index", "eval"}}
    assert len(modules) >= 5
    for module in sorted(modules):
        command = import_module(module)
        assert "usage:" in build_parser(command.main).format_help(), module
        assert '\nif __name__ == "__main__":\n    ' in Path(str(command.__file__)).read_text(encoding="utf-8"), module


@pytest.mark.skipif("FIELDMARK_BIRDS" not in os.environ, reason="FIELDMARK_BIRDS does not name the index of make demo")
def test_training_helps_in_the_demo() -> None:
    """On species that it never saw."""
    birds = Path(os.environ["FIELDMARK_BIRDS"])
    sets = [EmbeddingSet.load(folder) for folder in (birds.parent / "frozen-vectors", birds)]
    frozen, trained = (evaluate(one).means()["recall@1"] for one in sets)
    assert trained > frozen + 0.1

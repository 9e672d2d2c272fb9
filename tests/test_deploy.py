"""What ``deploy/`` says can be done; an image cannot be built in a test, so its steps are run one by one."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"

ONLY = """
import json, sys
from importlib.metadata import packages_distributions
allowed = set(json.loads({allowed!r}))
known = packages_distributions()

class Allowed:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        owners = known.get(name.partition(".")[0])
        if owners and not {{owner.lower().replace("_", "-") for owner in owners}} & allowed:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Allowed, sys.meta_path)
sys.path.insert(0, {place!r})
from pathlib import Path
from starlette.testclient import TestClient
import index.serve
assert index.serve.__file__.startswith({place!r}), index.serve.__file__
from index.service.app import make_app
from index.service.settings import Settings
folder, photo = Path({folder!r}), Path({photo!r})
with TestClient(make_app(Settings(folder, token="x" * 20)), base_url="http://localhost") as client:
    sent = [("photo", ("a.png", photo.read_bytes()))]
    shown = {{"authorization": "Bearer " + "x" * 20}}
    one = {{"reference": client.get("/references").json()["references"][0]["id"]}}
    answers = [
        client.post("/search", files=sent),
        client.post("/explain", files=sent, data=one),
        client.get("/review"),
        client.get("/info"),
        client.get("/docs.js"),
        client.post("/references", files=sent, data={{"label": "class-1"}}, headers=shown),
        client.get("/metrics"),
    ]
print([answer.status_code for answer in answers])
"""


def instructions() -> list[tuple[str, str]]:
    """The instructions of the container file, each with what it is told."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line.strip()]


def needed() -> list[Requirement]:
    lines = (DEPLOY / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def everything(names: list[Requirement]) -> set[str]:
    """These packages and what they need, by name."""
    found: set[str] = set()
    left = [(one.name, one.extras) for one in names]
    while left:
        name, extras = left.pop()
        plain = re.sub(r"[-_.]+", "-", name).lower()
        if plain in found and not extras:
            continue
        found.add(plain)
        try:
            for text in requires(name) or []:
                one = Requirement(text)
                if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                    left.append((one.name, one.extras))
        except PackageNotFoundError:
            continue
    return found


def test_the_image_is_built_of_what_is_there_and_runs_as_nobody() -> None:
    steps = instructions()
    assert {word for word, _ in steps} <= {
        *("FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD")
    }
    for word, rest in steps:
        if word == "COPY" and "--from" not in rest:
            for name in shlex.split(rest)[:-1]:
                assert (ROOT / name).exists(), name
        if word == "FROM":
            assert re.match(r"docker\.io/library/python:3\.\d+-slim( AS \w+)?$", rest), rest
        if word in ("ENTRYPOINT", "CMD"):
            assert all(isinstance(one, str) for one in json.loads(rest))
    last = [word for word, _ in steps][::-1]
    assert dict(steps)["USER"] == "10001:10001"
    assert last.index("USER") < last.index("FROM")


def test_the_packages_are_those_of_the_project_without_torch() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    own = {Requirement(line).name: str(Requirement(line)) for line in setup["options"]["install_requires"].split()}
    for one in needed():
        assert own[one.name] == str(one)
    assert not {"torch", "torchvision", "numba", "matplotlib", "umap-learn"} & everything(needed())


def test_what_is_in_the_image_is_enough(tmp_path: Path) -> None:
    """The project is installed as the image installs it, and runs with nothing but the image's packages."""
    from tests.index.conftest import write_embedder, write_photo

    write_embedder(tmp_path / "embedder.onnx", "tiny")
    for number in range(8):
        write_photo(tmp_path / "photos" / f"class-{number % 2}" / f"{number}.png", number % 2, number)
    source = tmp_path / "source"
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    for name in ("eval", "embedder", "index"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    place = tmp_path / "place"
    words = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet", "--target", place]
    done = subprocess.run([*words, source], capture_output=True, text=True, check=False)
    if "No module named 'setuptools" in done.stderr or "invalid command 'bdist_wheel'" in done.stderr:
        pytest.skip("setuptools is not there to build with")
    assert done.returncode == 0, done.stderr
    folder, photo = tmp_path / "a.index", tmp_path / "photos" / "class-0" / "2.png"
    build = [sys.executable, "-m", "index.build", tmp_path / "embedder.onnx", tmp_path / "photos", "--out", folder]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT)
    allowed = json.dumps(sorted(everything([*needed(), Requirement("httpx2"), Requirement("httpx")]) | {"fieldmark"}))
    script = ONLY.format(allowed=allowed, place=str(place), folder=str(folder), photo=str(photo))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[200, 200, 200, 200, 200, 409, 200]"


def test_the_unit_is_closed_off() -> None:
    text = (DEPLOY / "fieldmark.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert start.split()[1:3] == ["-m", "index.serve"]
    taught = re.findall(r"^#?(ExecStart=.*)$", text, re.MULTILINE)
    assert (
        taught[1] == "ExecStart=" and "--allow-edit" in taught[2]
    )  # a second one is refused unless the first is reset
    for line in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="):
        assert f"\n{line}\n" in text
    assert "\nSystemCallErrorNumber=EPERM\n" in text  # what is refused (Arrow's mbind) must not kill
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here to look at the unit")
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(DEPLOY / "fieldmark.service")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_options_that_deploy_names_exist() -> None:
    from inspect import signature

    from index.serve import main

    known = {f"--{name.replace('_', '-')}" for name in signature(main).parameters}
    for name in ("Containerfile", "fieldmark.service"):
        for line in re.findall(r"index(?: |\.serve).*$", (DEPLOY / name).read_text(), re.MULTILINE):
            assert set(re.findall(r"(--[a-z-]+)", line)) <= known, line

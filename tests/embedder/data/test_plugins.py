import re
import sys
import tomllib
from pathlib import Path

import pytest

from embedder.data.catalog import read_catalog, read_named, read_source
from eval.errors import InputError

DOCS = Path(__file__).parents[3] / "docs" / "data.md"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a module with its entry points, as pip would write them down."""
    site = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(site))

    def write(module, text, points):
        folder = site / f"{module}-1.dist-info"
        folder.mkdir(parents=True)
        (site / f"{module}.py").write_text(text)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (folder / "entry_points.txt").write_text("\n".join(["[fieldmark.readers]", *lines]))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return write


def test_the_reader_of_the_docs_runs(install, touch):
    text = DOCS.read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (project,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    settings = tomllib.loads(project)
    assert len(code.splitlines()) <= 10
    assert settings["tool"]["setuptools"]["py-modules"] == ["beetles"]
    install("beetles", code, settings["project"]["entry-points"]["fieldmark.readers"])
    root = touch(["Carabus_auratus__1.jpg", "Carabus_auratus__2.jpg", "Meloe_violaceus__1.jpg"])
    with pytest.raises(InputError, match=r"others holds no photos, as the reader 'beetles' sees it"):
        read_catalog(f"beetles:{touch(['1.txt'], 'others')}")
    for catalog in (read_catalog(f"beetles:{root}"), read_source("beetles", str(root))):
        assert (catalog.name, catalog.classes) == ("beetles", ["Carabus auratus", "Meloe violaceus"])
        assert catalog.file(2) == root / "Meloe_violaceus__1.jpg"


def test_a_module_that_is_not_installed_is_not_imported(touch, monkeypatch):
    root = touch(["photos/wren/1.jpg"])
    (root / "sly.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    for spec in ("sly:photos", "sly.read:photos"):
        with pytest.raises(InputError, match="unknown data set 'sly"):
            read_catalog(spec)


def test_names_of_ours_come_first_and_hyphens_are_equal(install, touch):
    install("mine", "def read(root): raise SystemExit('called')", {"folder": "mine:read", "my-moths": "mine:read"})
    assert read_catalog(f"folder:{touch(['wren/1.jpg'])}").name == "folder"
    with pytest.raises(SystemExit, match="called"):
        read_catalog("my_moths:somewhere")


@pytest.mark.parametrize(
    ("value", "root", "message"),
    [
        ("mine:gone", "x", r"the reader 'moths' \(mine:gone\) cannot be loaded: .*gone"),
        ("nowhere_at_all:read", "x", "the reader 'moths' .* cannot be loaded: No module named"),
        ("torn:read", "x", r"the reader 'moths' \(torn:read\) cannot be loaded: invalid syntax"),
        ("mine:read", "x", "the reader 'moths' has made a list; it must make a Catalog"),
        ("mine:read", None, "moths needs the place where it lies: moths:ROOT"),
    ],
)
def test_what_a_reader_can_get_wrong(install, value, root, message):
    install("mine", "def read(root): return []", {"moths": value})
    install("torn", "def read(root: return [", {})
    with pytest.raises(InputError, match=message):
        read_named("moths", root and Path(root))
    with pytest.raises(InputError, match="unknown data set 'moth'; did you mean 'moths'"):
        read_catalog("moth:x")

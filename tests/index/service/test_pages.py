"""The files of the pages, and the description of the routes."""

import re
from pathlib import Path

from index.service.pages import SHOWN, assets
from tests.index.service.conftest import ROOT


def test_files_are_served_from_a_list_and_nothing_else(client):
    known = assets()
    assert "/docs.js" in known
    for path, asset in known.items():
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (200, asset.content), path
    for path in ("/nothing.js", "/docs.js/", "/..%2fserve.py", "/shared/..%2f__init__.py", "/web/docs.js"):
        assert client.get(path).status_code == 404, path
    assert client.get("/docs.js").headers["content-type"].startswith("text/javascript")
    assert "cache-control" in client.get("/docs.js").headers


def test_every_file_of_the_folders_is_of_a_kind_that_is_served_or_is_read_by_developers():
    for folder in ("index/web", "eval/web"):
        for path in (ROOT / folder).iterdir() if (ROOT / folder).is_dir() else []:
            assert path.suffix in {*SHOWN, ".md"}, path


def test_the_root_leads_somewhere(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_pages_run_no_script_and_style_of_their_own_text():
    """The policy would forbid it, and the page would be broken."""
    for path in (ROOT / "index" / "web").glob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", text), path
        assert not re.search(r"""(src|href)=["'](https?:)?//""", text), path


def test_no_script_makes_markup_of_text():
    for path in (ROOT / "index" / "web").glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()), path


def test_the_description_names_every_route_and_what_it_may_answer(client):
    described = client.get("/openapi.json").json()
    routes = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    table = (ROOT / "docs" / "architecture.md").read_text()
    for method, path in routes:
        assert re.search(rf"`({method} )?{re.escape(path)}`", table), (method, path)
    assert len(routes) >= 15
    for path in ("/search", "/explain", "/references"):
        (body,) = described["paths"][path]["post"]["requestBody"]["content"]
        assert body == "multipart/form-data"
    for path, method in (("/references", "post"), ("/references/{id}", "delete"), ("/undo", "post")):
        assert described["paths"][path][method]["security"], path
    assert "security" not in described["paths"]["/search"]["post"]


def test_the_folder_of_the_page_need_not_be_there(monkeypatch, tmp_path):
    monkeypatch.setattr("index.service.pages.files", lambda _: Path(tmp_path))
    assert assets() == {}

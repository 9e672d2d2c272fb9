import json
from dataclasses import replace

import pytest

from eval.errors import InputError
from eval.folders import checksum
from index import Index
from index.commit import writing
from index.journal import Change
from index.manifest import Manifest


@pytest.fixture
def folder(tmp_path, add_vectors, random_vectors):
    return add_vectors(tmp_path / "a.index", random_vectors(5))


def rewrite(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_reading_gives_what_was_written(folder):
    manifest = Manifest.read(folder)
    assert manifest.to_json() == json.loads((folder / "manifest.json").read_text())
    assert (manifest.generation, manifest.count, manifest.dimension, manifest.fingerprint) == (1, 5, 8, "tiny")
    assert set(manifest.names()) == set(manifest.files)


def test_order_and_white_space_do_not_matter(folder):
    before = Manifest.read(folder)
    contents = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(dict(reversed(contents.items()))))
    assert Manifest.read(folder) == before


def test_a_flipped_bit_in_any_byte_is_an_error_or_changes_nothing(folder):
    path = folder / "manifest.json"
    whole, manifest, errors = path.read_bytes(), Manifest.read(folder), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            assert Manifest.read(folder) == manifest
        except InputError:
            errors += 1
    assert errors > len(whole) / 2


def test_truncated_anywhere_is_an_error(folder):
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged"):
            Manifest.read(folder)


@pytest.mark.parametrize("place", ["", "segments", "search", "files"])
def test_what_a_newer_version_has_put_in_says_to_update(folder, place):
    contents = json.loads((folder / "manifest.json").read_text())
    del contents["checksum"]
    inner = contents[place] if place else contents
    inner = inner[0] if isinstance(inner, list) else next(iter(inner.values())) if place == "files" else inner
    inner["colour"] = "red"
    contents["checksum"] = checksum(contents)
    (folder / "manifest.json").write_text(json.dumps(contents))
    with pytest.raises(InputError, match="made by a newer Fieldmark, with 'colour' in its manifest; update this one"):
        Manifest.read(folder)
    with pytest.raises(InputError, match="made by a newer Fieldmark, with 'colour' in its manifest; update this one"):
        Index.open(folder)


def test_what_is_too_long_to_be_read_is_not_indented(folder):
    assert "\n  " in (folder / "manifest.json").read_text()
    with writing(folder) as writer:
        writer.commit(replace(writer.before, made_from={"numbers": [*range(100_000)]}), Change("test"))
    assert "\n  " not in (folder / "manifest.json").read_text()
    assert Manifest.read(folder).made_from == {"numbers": [*range(100_000)]}


def test_a_newer_format_says_to_update(folder):
    rewrite(folder, format=2, something_new={})
    with pytest.raises(InputError, match=r"a.index has format 2, and this version of Fieldmark reads 1; update it"):
        Manifest.read(folder)


def test_another_kind_of_folder_is_named(folder):
    rewrite(folder, kind="embeddings")
    with pytest.raises(InputError, match="is not of the kind index but 'embeddings'"):
        Manifest.read(folder)


def test_no_manifest(tmp_path):
    with pytest.raises(InputError, match=r"is not of the kind index: .*; give a folder made by index.build"):
        Manifest.read(tmp_path)
    with pytest.raises(InputError, match=r"nothing does not exist; give a folder made by index.build"):
        Manifest.read(tmp_path / "nothing")

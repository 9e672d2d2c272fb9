"""Limits and the token."""

import math
from pathlib import Path

import pytest

from eval.errors import InputError
from index.service.settings import TOKEN, Limits, Settings, read_token


def test_limits_are_above_nothing_and_finite():
    with pytest.raises(InputError, match=r"limits.photos is 0; it must be above 0"):
        Limits(photos=0)
    for name, default in vars(Limits()).items():
        for value in (0, -default, math.inf, math.nan, 1e308):
            with pytest.raises(InputError, match=rf"limits.{name} is .*; it must be above 0 and at most 1000000000"):
                Limits(**{name: value})
    with pytest.raises(InputError, match=r"limits.megapixels is 151; it can be at most 150"):
        Limits(megapixels=151)


def test_a_token_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, "from the environment")
    (tmp_path / "token").write_text("from the file, which wins\n")
    assert read_token(tmp_path / "token") == "from the file, which wins"
    assert read_token(None) == "from the environment"


def test_a_token_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(InputError, match=r"--allow-edit needs a token: set FIELDMARK_TOKEN"):
        read_token(None)
    for content, said in (("", "is empty"), ("short", "at least 16"), ("sixteen letters \u00e9", "ASCII")):
        (tmp_path / "token").write_text(content)
        with pytest.raises(InputError, match=said):
            read_token(tmp_path / "token")
    (tmp_path / "token").write_bytes(b"\xff" * 20)
    with pytest.raises(InputError, match=r"is no text"):
        read_token(tmp_path / "token")
    with pytest.raises(InputError, match=r"nothing cannot be read \(No such file"):
        read_token(tmp_path / "nothing")


def test_a_token_is_not_shown(tmp_path):
    assert "secret" not in repr(Settings(tmp_path, token="secret token of 24 bytes"))


def test_taught_photos_are_kept_beside_the_index(tmp_path):
    assert Settings(tmp_path / "birds.index").taught_folder == tmp_path / "birds.taught"
    assert Settings(tmp_path / "birds.index", taught=tmp_path).taught_folder == tmp_path


def test_clients_are_not_told_where_the_index_lies(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    real = tmp_path / "birds.index"
    for folder in (real, tmp_path / "link" / "birds.index", Path("link/birds.index"), Path("birds.index")):
        for said in (folder, folder.absolute(), real):
            assert Settings(folder).without_folder(f"'{said}/a' is gone.") == "'birds.index/a' is gone."
    assert Settings(Path()).without_folder("a is gone. And b.") == "a is gone. And b."

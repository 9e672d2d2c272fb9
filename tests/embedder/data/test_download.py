from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from PIL import Image

from embedder.data import cifar10
from embedder.data.download import FETCHED, main
from eval.errors import InputError


def of_torchvision(monkeypatch: pytest.MonkeyPatch, name: str, fetch) -> None:
    """Put something in the place of a data set of torchvision's."""
    monkeypatch.setattr(torchvision.datasets, FETCHED[name][0], fetch)


def test_what_torchvision_fetches_is_opened_and_named(tmp_path, monkeypatch, capsys):
    def fetch(root: str, download: bool) -> None:
        assert download
        print("100%")
        for split in ("train", "test"):
            for label in cifar10.CLASSES:
                (Path(root) / split / label).mkdir(parents=True)
                Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(Path(root) / split / label / "1.png")

    of_torchvision(monkeypatch, "cifar10", fetch)
    assert main("cifar10", tmp_path / "here") == f"cifar10:{tmp_path / 'here'}"
    said = capsys.readouterr()
    assert said.out == f"cifar10:{tmp_path / 'here'}\n"
    assert "20 photos of 10 classes" in said.err


def test_every_set_that_is_fetched_is_one_of_torchvision_s():
    assert all(hasattr(torchvision.datasets, name) for name, _ in FETCHED.values())


def test_a_failed_download_is_told(tmp_path, monkeypatch):
    def fetch(root: str, download: bool) -> None:
        raise RuntimeError("File not found or corrupted.")

    of_torchvision(monkeypatch, "flowers102", fetch)
    with pytest.raises(InputError, match=r"flowers102 has come damaged \(File not found or corrupted\.\); delete"):
        main("flowers102", tmp_path)

    def away(root: str, download: bool) -> None:
        raise URLError("Name or service not known")

    of_torchvision(monkeypatch, "flowers102", away)
    with pytest.raises(InputError, match=r"flowers102 cannot be fetched into .*service not known.*; try again later"):
        main("flowers102", tmp_path)


@pytest.mark.parametrize("name", ["cub200", "cars196", "inat2018", "inat2021", "dogs", "nabirds", "sop", "inshop"])
def test_others_are_told_where_they_are_to_be_had(tmp_path, name):
    with pytest.raises(
        InputError, match=rf"torchvision does not fetch {name}; it is laid out as .+ name it {name}:ROOT"
    ):
        main(name, tmp_path)


def test_an_unknown_name(tmp_path):
    with pytest.raises(InputError, match=r"flowers102"):
        main("flowers", tmp_path)
    with pytest.raises(InputError, match=r"unknown data set to download 'webdataset'"):
        main("webdataset", tmp_path)

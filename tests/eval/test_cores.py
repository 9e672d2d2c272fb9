import os
import sys

import pytest

from eval import cores
from eval.cores import _quota as quota
from eval.cores import available_cores


@pytest.fixture(autouse=True)
def eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(8)}, raising=False)
    monkeypatch.setattr(cores, "_quota", lambda: sys.maxsize)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


def test_those_that_the_process_is_bound_to():
    assert available_cores() == 8


@pytest.mark.parametrize(("beside", "share"), [("1", 8), ("3", 2), ("8", 1), ("100", 1), ("0", 8), ("many", 8)])
def test_processes_of_torchrun_share_them(monkeypatch, beside, share):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", beside)
    assert available_cores() == share


def test_no_more_than_a_container_is_given(monkeypatch):
    monkeypatch.setattr(cores, "_quota", lambda: 2)
    assert available_cores() == 2


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("max 100000", sys.maxsize),
        ("", sys.maxsize),
        ("1 0", sys.maxsize),
    ],
)
def test_what_linux_says_of_a_container(tmp_path, text, given):
    (tmp_path / "cpu.max").write_text(f"{text}\n")
    assert quota(tmp_path / "cpu.max") == given


def test_elsewhere(tmp_path):
    assert quota(tmp_path / "cpu.max") == sys.maxsize

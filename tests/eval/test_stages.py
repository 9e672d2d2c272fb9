import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from eval import stages
from eval.stages import OTHER, START, TOTAL, Profile, awaited, profiled, stage, waiting


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is told to move on."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(stages, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def seconds(profile):
    rows = profile.table()
    assert sum(row.seconds for row in rows[:-1]) == pytest.approx(rows[-1].seconds)
    assert sum(row.share for row in rows[:-1]) == pytest.approx(1)
    return {row.name: row.seconds for row in rows}


def test_a_stage_has_its_own_time_and_the_rest_is_told(clock):
    profile = Profile(before=0.5)
    for _ in range(2):
        with profile.stage("search"):
            clock.now += 1
            with profile.stage("read"):
                clock.now += 3
            clock.now += 0.25
    clock.now += 1
    assert seconds(profile) == {START: 0.5, "read": 6, "search": 2.5, OTHER: 1, TOTAL: 10}
    assert [row.times for row in profile.table()] == [0, 2, 2, 0, 0]


def test_what_threads_do_is_shared_out_over_the_time_that_is_waited_for_them(clock):
    profile = Profile()

    def work(name, spent):
        with profile.stage(name):
            clock.now += spent

    with profile.waiting():
        in_a_thread(lambda: work("decode", 3))
        in_a_thread(lambda: work("network", 5))
        clock.now -= 4  # they worked at the same time
    with profile.stage("network"):
        clock.now += 1
    assert seconds(profile) == {START: 0, "decode": 1.5, "network": 3.5, OTHER: 0, TOTAL: 5}


def test_what_is_awaited_is_a_stage_and_what_is_done_with_it_is_not(clock, monkeypatch):
    profile = Profile()
    monkeypatch.setattr(stages, "_profile", profile)

    def items():
        for item in "ab":
            clock.now += 2
            yield item

    for _ in awaited("wait", items()):
        clock.now += 1
    assert seconds(profile) == {START: 0, "wait": 4, OTHER: 2, TOTAL: 6}


def test_waiting_within_a_stage_is_not_counted_twice(clock):
    profile = Profile()
    with profile.stage("write"):
        clock.now += 1
        with profile.waiting():
            clock.now += 2
    assert seconds(profile) == {START: 0, "write": 1, OTHER: 2, TOTAL: 3}


def test_a_stage_that_fails_counts(clock):
    profile = Profile()
    with pytest.raises(ZeroDivisionError), profile.stage("decode"):
        clock.now += 2
        1 / 0  # noqa: B018
    assert seconds(profile)["decode"] == 2


def test_nothing_is_timed_unless_it_is_wanted(capsys):
    with profiled(False), stage("decode"), waiting():
        assert stages._profile is None
    assert capsys.readouterr().err == ""


def test_the_table_is_printed_once_and_nobody_listens_afterwards(capsys):
    with profiled(True):
        with profiled(True), stage("decode"):
            pass
        assert capsys.readouterr().err == ""
    told = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0].strip() for line in told] == ["stage", START, "decode", OTHER, TOTAL]
    assert "100.0%" in told[-1]
    assert stages._profile is None


def test_the_start_of_the_process_counts():
    code = "import time; time.sleep(0.3); from eval.stages import profiled\nwith profiled(True): pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    start = next(line for line in done.stderr.splitlines() if line.startswith(START))
    assert 0.3 <= float(start.split()[-2]) < 30

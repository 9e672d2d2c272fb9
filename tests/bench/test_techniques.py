"""What bench/techniques.py takes to be the same training, and what it refuses."""

import json
from pathlib import Path

import pytest

from bench import techniques
from eval.errors import InputError

KIND = {"measured by": "held out", "options": "", "of base": 6}


def test_what_differs_in_views_alone_is_the_same_training() -> None:
    assert techniques.same_training("mirror view") == "base"
    assert techniques.same_training("parts, centres, second look, mirror view") == "parts, centres"
    assert techniques.same_training("first look") is None
    assert techniques.same_training("attention pooling") is None


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ([], ["--only", "mix-up"], r"name in --only 'mix-up'; did you mean 'mixup'"),
        ([], ["--sets", "cars89"], r"name in --sets 'cars89'; did you mean 'cars98'"),
        ([KIND], ["--test"], "holds results of another kind; give another --results"),
        ([KIND], ["--epochs", "8,3"], "holds results of another kind"),
        ([KIND], ["--options", "--train.warmup 0.3"], "holds results of another kind"),
    ],
)
def test_what_would_be_mixed_up_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, object]], options: list[str], message: str
) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps({"photos": "cars98", **line}) + "\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["techniques.py", "run", "cars", "birds", "--results", str(results), *options])
    with pytest.raises((InputError, ValueError), match=message):
        techniques.main()

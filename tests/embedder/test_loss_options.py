import math

import pytest

from embedder.loss_contracts import LOSSES
from embedder.loss_options import resolve_options, split_names
from eval.errors import InputError


@pytest.mark.parametrize("name", LOSSES)
def test_plus_signs_join_names_and_belong_to_one(name: str) -> None:
    assert split_names(name) == [name]
    for other in LOSSES:
        if other != name:
            assert split_names(f"{name}+{other}") == [name, other]


def test_defaults_stand_where_nothing_is_given() -> None:
    options = resolve_options(["arcface", "triplet"], {})
    assert options["arcface"] == {"margin": 0.3, "scale": 32.0}
    assert set(options["triplet"]) == set(LOSSES["triplet"].options)


def test_flat_options_reach_every_loss_that_declares_them_and_own_ones_go_first() -> None:
    options = resolve_options(["arcface", "cosface", "supcon"], {"scale": 20, "cosface": {"scale": 16, "margin": 0.1}})
    assert options["arcface"] == {"margin": 0.3, "scale": 20.0}
    assert options["cosface"] == {"margin": 0.1, "scale": 16.0}
    assert options["supcon"] == {"temperature": 0.1}
    assert isinstance(options["arcface"]["scale"], float)
    in_any_order = resolve_options(["cosface"], {"cosface": {"scale": 16}, "scale": 20})
    assert in_any_order["cosface"]["scale"] == 16.0


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("arcface", {"margn": 0.3}, "unknown option of arcface 'margn'; did you mean 'margin'"),
        ("triplet+supcon", {"scal": 0.3}, "unknown option of triplet.supcon 'scal'"),
        ("triplet", {"arcface": {"margin": 0.3}}, "unknown loss in loss.options 'arcface'; known: triplet"),
        ("arcface", {"arcface": {"scales": 3}}, "unknown option of arcface 'scales'; did you mean 'scale'"),
        ("arcface", {"margin": "wide"}, "margin of arcface is 'wide'; it must be of type float"),
        ("arcface", {"margin": True}, "margin of arcface is True; it must be of type float"),
        ("soft-triple", {"centres": 2.5}, r"centres of soft-triple is 2\.5; it must be of type int"),
        ("soft-triple", {"centres": 0}, "centres of soft-triple is 0; it must lie between 1 and 100"),
        ("supcon", {"temperature": 0}, r"temperature of supcon is 0; it must lie between 0\.001 and 10"),
        ("arcface", {"margin": 28.6}, r"margin of arcface is 28\.6; it must lie between 0 and 1\.5708"),
        ("arcface", {"margin": math.nan}, "margin of arcface is nan"),
    ],
)
def test_wrong_options_are_told(name: str, given: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        resolve_options(split_names(name), given)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("arcfase", "unknown loss 'arcfase'; did you mean 'arcface'"),
        ("triplet+", "unknown loss 'triplet\\+'; did you mean 'triplet'"),
        ("triplet+triplet", "name each loss once"),
    ],
)
def test_wrong_names_are_told(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        split_names(name)

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedder.config import Config
from embedder.conflicts import _TRAINED_POOLINGS, check_together
from embedder.model.backbone import build_backbone
from embedder.model.pooling import POOLINGS, build_pooling
from embedder.runtime import open_session
from embedder.train import fit, settled
from eval.errors import InputError


def changed(changes: Mapping[str, Mapping[str, Any]], config: Config | None = None) -> Config:
    config = config or Config()
    return replace(config, **{group: replace(getattr(config, group), **values) for group, values in changes.items()})


PROBE = {"data": {"feature_views": 1}, "model": {"frozen_stages": "all", "pooling": "avg"}}


@pytest.mark.parametrize("epochs", [0, 10])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"frozen_stages": 1}}, r"model\.frozen_stages is 1; set it to all"),
        ({"model": {"attention": "se"}}, r"model\.attention se is trained; set it to none"),
        ({"model": {"pooling": "gem"}}, r"model\.pooling gem is trained; take another"),
        ({"model": {"parts": 2}}, r"model\.parts is 2; set it to 0"),
        ({"model": {"look": "first"}}, r"model\.look is first; set it to none"),
        ({"mix": {"photos": "mixup"}}, r"mix\.photos is mixup; set it to none"),
        ({"augment": {"attended_drop": 0.5}}, r"augment\.attended_crop or attended_drop is set; set both to 0"),
    ],
)
def test_what_needs_the_photos_in_every_step_cannot_see_them_once(
    changes: dict[str, dict[str, Any]], message: str, epochs: int
) -> None:
    probe = changed({**PROBE, "train": {"epochs": epochs}})
    check_together(probe)
    with pytest.raises(InputError, match=rf"^data\.feature_views is 1, so photos are seen once, but {message}$"):
        check_together(changed(changes, probe))


def test_every_pooling_that_is_trained_is_known() -> None:
    backbone = build_backbone("timm:test_vit", "random")
    assert {*_TRAINED_POOLINGS} == {name for name in POOLINGS if [*build_pooling(name, backbone).parameters()]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mix": {"vectors": True}}, r"mix\.vectors is true"),
        (
            {"loss": {"part_centre": 1.0}, "model": {"parts": 4}, "mix": {"since": 0.0, "until": 1.0}},
            r"loss\.part_centre is 1\.0",
        ),
    ],
)
def test_where_all_photos_are_mixed_nothing_is_left_for_losses_of_others(
    changes: dict[str, dict[str, Any]], message: str
) -> None:
    config = changed(changes)
    some = replace(config.mix, photos="cutmix", share=0.5)
    for mix in (config.mix, some, replace(config.mix, share=1.0)):
        check_together(replace(config, mix=mix))
    with pytest.raises(InputError, match=rf"^{message}, which is of batches .* mix\.photos is cutmix in all of them"):
        check_together(replace(config, mix=replace(some, share=1.0)))


def test_crops_are_squashed_only_as_photos_are() -> None:
    check_together(changed({"augment": {"relative_aspect": True}, "data": {"fit": "squash"}}))
    with pytest.raises(InputError, match=r"^augment\.relative_aspect .* but data\.fit crop squashes none; set it"):
        check_together(changed({"augment": {"relative_aspect": True}, "data": {"fit": "crop"}}))


@pytest.mark.parametrize("mix", [{"photos": "mixup"}, {"vectors": True}])
def test_mixing_begins_before_it_ends(mix: dict[str, Any]) -> None:
    check_together(changed({"mix": mix | {"since": 0.8, "until": 0.85}}))
    check_together(changed({"mix": {"since": 0.9}}))
    with pytest.raises(InputError, match=r"^mix\.since is 0\.9 and mix\.until 0\.85, so nothing is mixed; lower"):
        check_together(changed({"mix": mix | {"since": 0.9}}))
    with pytest.raises(InputError, match=r"^mix\.since is 0\.0 and mix\.until 0\.0, so nothing is mixed"):
        check_together(changed({"mix": mix | {"since": 0.0, "until": 0.0}}))


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"photos": "mixup", "share": 0.0}, r"mix\.photos is mixup, but mix\.share is 0; raise it, or set"),
        ({"vectors": True, "weight": 0.0}, r"mix\.vectors is true, but mix\.weight is 0; raise it, or set"),
    ],
)
def test_what_is_asked_for_is_mixed(mix: dict[str, Any], message: str) -> None:
    off = {"photos": "none", "vectors": False}
    check_together(changed({"mix": mix | off}))
    with pytest.raises(InputError, match=rf"^{message}"):
        check_together(changed({"mix": mix}))


def test_a_batch_of_one_class_is_told_before_a_photo_is_read() -> None:
    with pytest.raises(InputError, match=r"train\.batch_size 8 with train\.photos_per_class 8 leaves room for 1"):
        check_together(changed({"train": {"batch_size": 8, "photos_per_class": 8}}))


@pytest.mark.parametrize("name", ["triplet", "contrastive+supcon", "supcon+arcface"])
def test_a_loss_that_compares_photos_of_a_class_sees_two_of_them(name: str) -> None:
    alone = changed({"loss": {"name": name}, "train": {"photos_per_class": 1}})
    mends = [{"train": {"photos_per_class": 2}}, {"train": {"epochs": 0, "photos_per_class": 1}}]
    mends += [
        {"loss": {"name": name, "memory": 99, "memory_start": 0}},
        {"loss": {"name": "arcface"}},
    ]
    for mended in mends:
        check_together(changed(mended, alone))
    for other in ({}, {"loss": {"name": name, "memory": 99}}):  # until it is used, no batch would have a pair
        with pytest.raises(InputError, match=rf"^train\.photos_per_class is 1, .* which the loss {name[:6]}"):
            check_together(changed(other, alone))


@pytest.mark.parametrize(
    ("name", "mix", "message"),
    [
        (
            "triplet",
            {"photos": "cutmix"},
            r"mix\.photos is cutmix, but the loss triplet cannot use what is mixed; those",
        ),
        ("arcface+triplet", {"photos": "mixup"}, r"mix\.photos is mixup, but the loss triplet cannot"),
        ("contrastive", {"photos": "snapmix"}, r"cannot use .*proxy-anchor.*; or mix vectors \(mix\.vectors\)"),
        ("contrastive", {"photos": "mixup", "vectors": True}, r"cannot use .*proxy-anchor[^;]*$"),
        ("contrastive+supcon", {"photos": "mixup"}, r"the loss contrastive cannot use .*proxy-anchor[^;]*$"),
        (
            "triplet",
            {"vectors": True},
            r"mix\.vectors is true, but the loss triplet cannot .*contrastive, multi-similarity",
        ),
        ("supcon+arcface", {"vectors": True}, r"mix\.vectors is true, but the loss supcon cannot"),
    ],
)
def test_a_loss_that_cannot_use_what_is_mixed(name: str, mix: dict[str, Any], message: str) -> None:
    check_together(changed({"loss": {"name": name}}))
    check_together(changed({"loss": {"name": "proxy-anchor"}, "mix": mix}))
    with pytest.raises(InputError, match=message):
        check_together(changed({"loss": {"name": name}, "mix": mix}))


@pytest.mark.parametrize(
    ("model", "mended", "message"),
    [
        ({"look": "second"}, {"look": "first"}, r"model\.look is second, but the embedder has no parts to look at"),
        (
            {"look_side": 0.5},
            {"look": "first"},
            r"model\.look_side is 0\.5, and model\.look is none; set it to first",
        ),
        (
            {"look": "second", "parts": 2, "look_side": 0.5},
            {"look_side": 0.0},
            r"model\.look_side is 0\.5, and model\.look is second; set it to first, or look_side to 0",
        ),
        ({"part_stride": 16}, {"parts": 2}, r"model\.part_stride is 16, but the network finds no parts; set model\."),
        (
            {"attention": "eca", "pooling": "token"},
            {"pooling": "rollout"},
            r"model\.attention eca weighs the feature map, which model\.pooling token does not look at; choose",
        ),
        (
            {"attention": "se", "pooling": "token", "parts": 4, "part_stride": 16},
            {"part_stride": 0},
            r"model\.attention se weighs the feature map, which model\.pooling token does not look at; choose",
        ),
    ],
)
def test_what_looks_at_nothing(model: dict[str, Any], mended: dict[str, Any], message: str) -> None:
    check_together(changed({"model": model | mended}))
    with pytest.raises(InputError, match=rf"^{message}"):
        check_together(changed({"model": model}))


def test_centres_have_photos_that_are_neither_mixed_nor_changed() -> None:
    centres = {"loss": {"part_centre": 1.0}, "model": {"parts": 4}}
    for some in ({"since": 0.1, "until": 1.0}, {"since": 0.0, "until": 0.9}):
        check_together(changed({**centres, "mix": {"photos": "cutmix", "share": 1.0, **some}}))
    always = {"attended_crop": 0.5, "attended_drop": 0.5, "attended_since": 0.0}
    for some in ({"attended_since": 0.2}, {"attended_drop": 0.4}):
        check_together(changed({**centres, "augment": always | some}))
    check_together(changed({"model": {"parts": 4}, "augment": always}))
    with pytest.raises(InputError, match=r"^loss\.part_centre is 1\.0, .*attended_crop 0\.5 and attended_drop 0\.5"):
        check_together(changed({**centres, "augment": always}))


def test_centres_need_parts() -> None:
    with pytest.raises(InputError, match=r"^loss\.part_centre is 1\.0, but the network has no parts; set model\.parts"):
        check_together(changed({"loss": {"part_centre": 1.0}}))
    with pytest.raises(InputError, match=r"but the parts of model\.pooling rollout have no features; set model\.parts"):
        check_together(changed({"loss": {"part_centre": 1.0}, "model": {"pooling": "rollout"}}))


def test_a_head_is_not_cut_out_of_what_is_kept_for_training() -> None:
    check_together(changed({"augment": {"pose_head": 0.5}}))
    check_together(changed({"data": {"cache": "squares"}}))
    with pytest.raises(InputError, match=r"^augment\.pose_head is 0\.5, but data\.cache keeps photos at the size of"):
        check_together(changed({"augment": {"pose_head": 0.5}, "data": {"cache": "squares"}}))


def test_photos_for_a_look_are_not_larger_than_any() -> None:
    look = {"model": {"look": "first", "look_detail": 4}, "data": {"size": 2048}}
    check_together(changed(look))
    with pytest.raises(
        InputError, match=r"^model\.look_detail is 4, which makes photos of 8200 pixels, more than 8192"
    ):
        check_together(changed({**look, "data": {"size": 64, "test_size": 2050}}))


def test_without_training_there_are_no_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """They would be random; so the second look has nothing to look at, but that of a pretrained transformer has."""
    parts = changed({"model": {"parts": 4}, "loss": {"part_centre": 1.0}})
    check_together(parts)
    assert settled(parts) == parts
    untrained = changed({"train": {"epochs": 0}}, parts)
    assert settled(untrained).model.parts == 0
    assert "(head: none, norm: none, parts: 0)" in capsys.readouterr().err
    check_together(settled(untrained))
    for look in ("none", "first"):
        check_together(settled(changed({"model": {"look": look}}, untrained)))
    second = changed({"model": {"look": "second"}}, untrained)
    with pytest.raises(InputError, match=r"^model\.look is second, but train\.epochs is 0, and parts .* are found by"):
        check_together(settled(second))
    check_together(settled(changed({"model": {"pooling": "rollout"}}, second)))


def test_it_is_told_before_photos_are_looked_for(tmp_path: Path) -> None:
    nowhere = changed({"data": {"root": str(tmp_path / "nowhere")}, "loss": {"part_centre": 1.0}})
    with pytest.raises(InputError, match=r"^loss\.part_centre is 1\.0"):
        fit(nowhere, tmp_path / "run")


def test_the_frozen_network_is_exported_without_them(config: Config, tmp_path: Path) -> None:
    settings = {"model": {"parts": 3}, "loss": {"part_centre": 1.0}, "train": {"epochs": 0}, "data": {"size": 64}}
    run = fit(changed(settings, config), tmp_path / "run")
    assert "parts" not in {output.name for output in open_session(run / "embedder.onnx").get_outputs()}

"""The techniques that bench/techniques.py measures: what each sets, and whose training it is."""

SETS = ("cars98", "birds100")

VIEWS = {"--model.look second": "closer", "--model.mirror": "mirror", "--model.smaller": "smaller"}
"""Options that change nothing in training: the photo is seen more often by what it makes, each time by such a view."""

PLAIN = "--data.test_size {plain} --no-model.smaller --no-augment.relative_aspect"
"""Of every technique unless it says otherwise: the recipes without what was chosen by this."""

LARGER = "--data.test_size {larger}"
"""Another option that changes nothing in training."""

SIZES = {"cars98": {"plain": 160, "larger": 224}, "birds100": {"plain": 224, "larger": 320}}
"""In pixels a side."""

TECHNIQUES = {
    "base": "",
    "mirror view": "--model.mirror",
    "smaller view": "--model.smaller",
    "larger photos": LARGER,
    "larger photos, smaller view": f"{LARGER} --model.smaller",
    "larger photos, smaller view, mirror view": f"{LARGER} --model.smaller --model.mirror",
    "crops as wide as photos": "--augment.relative_aspect",
    "crops as wide as photos, larger photos, smaller view": f"--augment.relative_aspect {LARGER} --model.smaller",
    "squeeze-excitation": "--model.attention se",
    "CBAM": "--model.attention cbam",
    "ECA": "--model.attention eca",
    "average pooling": "--model.pooling avg",
    "attention pooling": "--model.pooling attention",
    "GeM pooling": "--model.pooling gem",
    "parts": "--model.parts 8",
    "parts, centres": "--model.parts 8 --loss.part_centre 1",
    "parts, centres, slow": "--model.parts 8 --loss.part_centre 1 --train.added_rate 1",
    "parts, centres, second look": "--model.parts 8 --loss.part_centre 1 --model.look second",
    "parts, centres, second look, mirror view": "--model.parts 8 --loss.part_centre 1 --model.look second "
    "--model.mirror",
    "parts, centres, attended crop and drop": "--model.parts 8 --loss.part_centre 1 --augment.attended_crop 0.3 "
    "--augment.attended_drop 0.3",
    "finer parts, centres": "--model.parts 16 --model.part_stride 16 --loss.part_centre 1",
    "finer parts, centres, second look": "--model.parts 16 --model.part_stride 16 --loss.part_centre 1 "
    "--model.look second",
    "finer parts, centres, high rate": "--model.parts 16 --model.part_stride 16 --loss.part_centre 1 "
    "--train.added_rate 15",
    "parts as for field marks": "--model.parts 16 --model.part_stride 16 --loss.part_centre 1 --train.added_rate 15 "
    "--augment.attended_crop 0.3 --augment.attended_drop 0.3 --augment.attended_since 0",
    "attended crop": "--augment.attended_crop 0.3",
    "attended drop": "--augment.attended_drop 0.3",
    "first look": "--model.look first",
    "mixup": "--mix.photos mixup",
    "CutMix": "--mix.photos cutmix",
    "CutMix, all batches": "--mix.photos cutmix --mix.share 1",
    "SnapMix": "--mix.photos snapmix",
    "mixed vectors": "--mix.vectors",
    "erasing": "--augment.erase 0.25",
    "turned views": "--augment.rotate 15",
    "slanted views": "--augment.shear 10 --augment.perspective 0.2",
    "all stages": "--model.frozen_stages 0",
    "all stages, layer-wise rates": "--model.frozen_stages 0 --train.layer_decay 0.7",
    "all stages, gradual unfreezing": "--model.frozen_stages 0 --train.unfreeze 0.5",
    "averaged weights": "--train.ema 0.98",
    "short warm-up": "--train.warmup 0.1",
    "longer warm-up": "--train.warmup 0.3",
    "mixed vectors, mirror view": "--mix.vectors --model.mirror",
}
"""Options of embedder.train beside the recipe's and ``PLAIN``."""


def slug(technique: str) -> str:
    """What a technique's files are called."""
    return technique.replace(" ", "-").replace(",", "")


def trained_as(technique: str) -> str:
    """The first technique that differs by views alone, so whose training it is; perhaps its own."""
    bare = without_views(technique)
    return next(one for one in TECHNIQUES if without_views(one) == bare)


def without_views(technique: str) -> list[str]:
    """A technique's options without those that change nothing in training."""
    options = TECHNIQUES[technique]
    for one in (*VIEWS, LARGER):
        options = options.replace(one, "")
    return options.split()

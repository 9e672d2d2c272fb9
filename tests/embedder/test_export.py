import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml

from embedder.export import export, main, trained_network
from embedder.preprocess import Preprocessing
from embedder.runtime import Embedder
from embedder.train import fit
from eval.errors import InputError


def metadata(path):
    properties = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert list(properties) == ["fieldmark"]
    return json.loads(properties["fieldmark"])


@pytest.fixture(scope="module")
def exported(run_folder):
    """The file and its fingerprint."""
    path = run_folder / "embedder.onnx"
    return path, metadata(path)["fingerprint"]


def photos(count, size=16):
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_the_file_stands_alone_and_gives_the_networks_outputs_for_any_batch(exported, small_network):
    session = onnxruntime.InferenceSession(exported[0].read_bytes())
    network = small_network().eval()
    for count in (1, 3, 40):
        vectors, features = session.run(["vector", "features"], {"images": photos(count)})
        with torch.no_grad():
            expected = network(torch.from_numpy(photos(count)))
        assert vectors.dtype == features.dtype == np.float32
        np.testing.assert_allclose(vectors, expected.vector, atol=1e-5)
        np.testing.assert_allclose(features, expected.features, atol=1e-4)


def test_metadata(exported):
    path, name = exported
    assert metadata(path) == {
        "format": 1,
        "preprocessing": {"size": 16, "fit": "crop", "crop_share": 0.875, "interpolation": "bicubic"},
        "views": ["whole"],
        "dimension": 8,
        "fingerprint": name,
        "summary": {"epochs": 3},
    }
    assert len(name) == 64
    assert int(name, 16)


def test_the_file_says_nothing_about_the_machine(exported):
    content = exported[0].read_bytes()
    for told in (b"stack_trace", b".py", b"site-packages", b"/home", b"/root", b"/work", b"pytorch", b"torch"):
        assert told not in content


def test_a_bf16_network_computes_in_float32_and_is_left_as_it_is(tmp_path, small_network):
    network = small_network().to(torch.bfloat16).train()
    export(network, Preprocessing(16), tmp_path / "embedder.onnx", {})
    assert network.training
    assert network.head.weight.dtype == torch.bfloat16
    (vectors,) = onnxruntime.InferenceSession(tmp_path / "embedder.onnx").run(["vector"], {"images": photos(3)})
    with torch.no_grad():
        expected = network.float().eval()(torch.from_numpy(photos(3))).vector
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_nothing_is_printed(tmp_path, capfd, small_network):
    export(small_network(), Preprocessing(16), tmp_path / "embedder.onnx", {})
    assert capfd.readouterr() == ("", "")


def test_a_mirroring_network_is_recorded_as_two_views(tmp_path, small_network):
    export(small_network(mirror=True), Preprocessing(16), tmp_path / "embedder.onnx", {})
    assert metadata(tmp_path / "embedder.onnx")["views"] == ["whole", "mirror"]


def test_a_run_is_exported_once_more_with_other_views(whole, tmp_path, capsys):
    run, again, mirrored = Embedder.open(whole), tmp_path / "a" / "embedder-whole.onnx", tmp_path / "mirror.onnx"
    assert main(whole, views="whole", out=again) == again
    said = capsys.readouterr()
    assert said.out == f"{again}\n"
    assert f"fingerprint: {run.fingerprint}\n" in said.err
    main(whole, views="whole,mirror", out=mirrored)
    one, other = Embedder.open(again), Embedder.open(mirrored)
    assert (one.views, other.views) == (("whole",), ("whole", "mirror"))
    assert one.fingerprint == run.fingerprint != other.fingerprint
    for embedder in (one, other):
        assert (embedder.summary, embedder.preprocessing) == (run.summary, run.preprocessing)
        assert embedder.trained_on == run.trained_on
        assert embedder.trained_on
    images = photos(5, run.preprocessing.size)
    np.testing.assert_allclose(one.vectors(images), run.vectors(images), atol=1e-6)
    total = run.vectors(images) + run.vectors(images[:, :, ::-1])
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(other.vectors(images), expected, atol=1e-5)


def test_a_run_is_exported_once_more_for_larger_photos(whole, config, photos, tmp_path, capsys):
    run, larger = Embedder.open(whole), tmp_path / "larger.onnx"
    size = 2 * run.preprocessing.size
    main(whole, size=size, views="whole,mirror", out=larger, photos=str(photos), max_loss=1)
    made = Embedder.open(larger)
    assert made.preprocessing == replace(run.preprocessing, size=size)
    assert made.fingerprint != run.fingerprint
    seen = made.prepare(next(photos.glob("*/0.png")))[None]
    assert seen.shape == (1, size, size, 3)
    with torch.no_grad():
        expected = trained_network(whole, ("whole", "mirror"))(torch.from_numpy(seen)).vector
    np.testing.assert_allclose(made.vectors(seen), expected, atol=1e-5)
    assert "photos/s, network" in capsys.readouterr().out
    transformer = replace(config.model, backbone="timm:test_vit", pooling="token")
    data = replace(config.data, size=64)
    run = fit(replace(config, model=transformer, data=data, train=replace(config.train, epochs=0)), tmp_path / "run")
    with pytest.raises(InputError, match="timm:test_vit does not take photos of 65 pixels"):
        main(run, size=65, out=tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.parametrize("look_side", [0.0, 0.5])
def test_a_closer_look_is_cut_out_of_larger_photos(config, photos, tmp_path, capsys, look_side):
    seen = replace(config.data, size=64), replace(config.model, look="first", look_detail=3, look_side=look_side)
    run = fit(replace(config, data=seen[0], model=seen[1], train=replace(config.train, epochs=1)), tmp_path / "run")
    assert Embedder.open(run).preprocessing.size == 3 * 64
    capsys.readouterr()
    for views, size, side in (
        ("whole", None, 64),
        ("whole", 96, 96),
        ("closer,mirror", None, 192),
        ("closer", 96, 288),
    ):
        out = tmp_path / f"{views}-{size}.onnx"
        main(run, views=views, size=size, out=out)
        assert ("the run looks at what it attends to: closer" in capsys.readouterr().err) is (views == "whole")
        made = Embedder.open(out)
        assert made.preprocessing.size == side
        images = np.stack([made.prepare(path) for path in sorted(photos.glob("*/0.png"))])
        with torch.no_grad():
            expected = trained_network(run, made.views)(torch.from_numpy(images)).vector
        np.testing.assert_allclose(made.vectors(images), expected, atol=1e-5)


def test_a_run_is_exported_once_more_to_be_seen_smaller_too(config, photos, tmp_path):
    larger = replace(config.data, size=64, test_size=96)
    run = fit(replace(config, data=larger, train=replace(config.train, epochs=1)), tmp_path / "run")
    main(run, views="mirror,whole,smaller", out=tmp_path / "smaller.onnx")
    made = Embedder.open(tmp_path / "smaller.onnx")
    assert made.views == ("whole", "mirror", "smaller")
    images = np.stack([made.prepare(path) for path in sorted(photos.glob("*/0.png"))])
    with torch.no_grad():
        output = trained_network(run, made.views)(torch.from_numpy(images))
    np.testing.assert_allclose(made.vectors(images), output.vector, atol=1e-5)
    np.testing.assert_allclose(made.outputs(images)["smaller"], output.smaller, atol=1e-4)


def test_the_list_of_another_embedder_is_not_overwritten(whole, tmp_path):
    (tmp_path / "trained_on-mirror.npy").write_bytes(b"another")
    with pytest.raises(InputError, match=r"trained_on-mirror\.npy exists and is the list of another embedder"):
        main(whole, views="whole,mirror", out=tmp_path / "mirror.onnx")
    assert not (tmp_path / "mirror.onnx").exists()
    assert (tmp_path / "trained_on-mirror.npy").read_bytes() == b"another"
    shutil.copy(whole / "trained_on.npy", tmp_path / "trained_on-mirror.npy")
    main(whole, views="whole,mirror", out=tmp_path / "mirror.onnx")


def test_no_list_of_an_embedder_that_is_gone_is_left(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("trained_on*"))
    (tmp_path / "trained_on-mirror.npy").write_bytes(b"another")
    main(run, views="whole,mirror", out=tmp_path / "mirror.onnx", overwrite=True)
    assert not (tmp_path / "trained_on-mirror.npy").exists()


def test_what_cannot_be_exported_once_more(whole, run_folder, tmp_path):
    for out in (whole / "embedder.onnx", tmp_path / "mirror"):
        with pytest.raises(InputError, match=r"give one that ends in \.onnx and is not the run's own file"):
            main(whole, views="whole,mirror", out=out, overwrite=True)
    (tmp_path / "link.onnx").symlink_to(tmp_path / "mirror.onnx")
    with pytest.raises(InputError, match=r"link\.onnx is a link to .*mirror\.onnx; give another --out, or take"):
        main(whole, views="whole,mirror", out=tmp_path / "link.onnx", overwrite=True)
    (tmp_path / "mirror.onnx").write_bytes(b"something")
    with pytest.raises(InputError, match=r"mirror\.onnx exists; give another --out, or --overwrite"):
        main(whole, views="whole,mirror", out=tmp_path / "mirror.onnx")
    with pytest.raises(InputError, match=r"has no config\.yaml, which the network is made from"):
        main(run_folder, views="whole,mirror", out=tmp_path / "mirror.onnx", overwrite=True)
    assert (tmp_path / "mirror.onnx").read_bytes() == b"something"
    with pytest.raises(InputError, match=r"--views whole,closer needs a run with parts .* has none"):
        main(whole, views="whole,closer", out=tmp_path / "closer.onnx")
    run = shutil.copytree(whole, tmp_path / "run")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["model"] |= {"parts": 2, "look": "first", "look_side": 0.5}
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(
        InputError, match=r"looks at all that is attended to, and .* known side \(model\.look_side 0\.5"
    ):
        main(run, views="whole,closer", out=tmp_path / "closer.onnx")


@pytest.mark.parametrize(
    ("options", "dimension", "smaller"),
    [
        ({"precision": "fp16"}, 16, False),
        ({"precision": "int8"}, 16, True),
        ({"dimension": 5}, 5, False),
        ({"precision": "int8", "dimension": 5, "views": "whole,mirror"}, 5, True),
    ],
)
def test_a_smaller_embedder_and_what_it_costs(whole, tmp_path, capsys, options, dimension, smaller):
    run, out = Embedder.open(whole), tmp_path / "embedder-small.onnx"
    assert main(whole, out=out, max_loss=1, **options) == out
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:-1]] == [
        "recall@1",
        "photos/s, network",
        "bytes a reference",
        "file, MB",
    ]
    assert lines[3].split()[3:] == ["64", str(4 * dimension)]
    made = Embedder.open(out)
    assert made.fingerprint != run.fingerprint
    assert made.fingerprint in said.err
    assert made.dimension == dimension
    assert made.vectors(photos(5, run.preprocessing.size)).shape == (5, dimension)
    assert made.views == (("whole", "mirror") if "views" in options else run.views)
    assert made.trained_on == run.trained_on
    assert made.summary.get("precision") == options.get("precision")
    assert made.summary.get("shortened_by") == ("principal directions" if "dimension" in options else None)
    assert made.summary["loss"] == run.summary["loss"]
    if smaller:
        assert "QuantizeLinear" in {node.op_type for node in onnx.load(out).graph.node}


@pytest.mark.parametrize(
    ("model", "options", "least"),
    [
        (
            {"parts": 3, "look": "second"},
            {"precision": "int8", "max_loss": 1},
            0.85,
        ),  # maps of 8 bits may move what is cut out
        ({"backbone": "timm:test_vit", "pooling": "rollout"}, {"views": "whole,closer"}, 0.9999),
        ({"backbone": "timm:test_vit", "pooling": "token", "parts": 3}, {"views": "whole,closer"}, 0.9999),
        (
            {"backbone": "timm:test_vit", "pooling": "rollout"},
            {"views": "closer,mirror", "precision": "fp16", "max_loss": 1},
            0.999,
        ),
    ],
)
def test_networks_with_part_maps_are_exported_once_more(config, photos, tmp_path, model, options, least):
    settings = {"model": replace(config.model, **model), "data": replace(config.data, size=64)}
    run = fit(replace(config, **settings, train=replace(config.train, epochs=1)), tmp_path / "run")
    main(run, out=tmp_path / "other.onnx", **options)
    made = Embedder.open(tmp_path / "other.onnx")
    views = tuple(options.get("views", "whole,closer").split(","))
    assert made.views == views
    session = onnxruntime.InferenceSession(tmp_path / "other.onnx")
    names = [output.name for output in session.get_outputs()]
    assert names == ["vector", "features", "parts", *(["region"] if views[0] == "closer" else [])]
    images = np.stack([made.prepare(path) for path in sorted(photos.glob("*/0.png"))])
    with torch.no_grad():
        expected = trained_network(run, views)(torch.from_numpy(images)).vector.numpy()
    assert (made.vectors(images) * expected).sum(1).mean() > least


def test_the_first_numbers_where_the_run_was_trained_for_that(config, tmp_path):
    run = fit(
        replace(config, loss=replace(config.loss, prefixes=[4, 8]), train=replace(config.train, epochs=1)),
        tmp_path / "run",
    )
    whole, out = Embedder.open(run), tmp_path / "short.onnx"
    main(run, out=out, dimension=4, max_loss=1)
    images = photos(5, whole.preprocessing.size)
    expected = whole.vectors(images)[:, :4]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(Embedder.open(out).vectors(images), expected, atol=1e-6)
    assert Embedder.open(out).summary["shortened_by"] == "prefix"
    assert "first 4" in (run / "log.csv").read_text().splitlines()[0]


def test_what_costs_too_much_is_not_written(whole, tmp_path):
    with pytest.raises(
        InputError, match=r"recall@1 falls by 0\.[1-9]\d+, more than --max-loss 0\.01; nothing is written"
    ):
        main(whole, out=tmp_path / "small.onnx", dimension=1)
    assert not any(tmp_path.iterdir())


def test_photos_that_were_trained_on_are_told_though_the_run_would_hold_them_out_now(config, photos, tmp_path, capsys):
    """Classes have been added since, so others of the old ones are held out."""
    own = Path(shutil.copytree(photos, tmp_path / "photos"))
    held = replace(config.data, root=str(own), validation="classes")
    run = fit(replace(config, data=held, train=replace(config.train, epochs=1)), tmp_path / "run")
    main(run, out=tmp_path / "before.onnx", precision="fp16", max_loss=1.0)
    assert "was trained on" not in capsys.readouterr().err
    for name in "abcd":
        shutil.copytree(own / "kind0", own / f"added-{name}")
    main(run, out=tmp_path / "after.onnx", precision="fp16", max_loss=1.0)
    assert "the run was trained on" in capsys.readouterr().err


def test_what_takes_no_photos_does_without_those_of_the_run(config, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    given = replace(
        config, data=replace(config.data, root=str(tmp_path / "photos")), loss=replace(config.loss, prefixes=(4,))
    )
    run = fit(replace(given, train=replace(config.train, epochs=1)), tmp_path / "run")
    shutil.rmtree(tmp_path / "photos")
    for name, options in (("half", {"precision": "fp16"}), ("short", {"dimension": 4})):
        main(run, out=tmp_path / f"{name}.onnx", photos=str(photos), max_loss=1, **options)
    for options in ({"precision": "int8"}, {"dimension": 5}):
        with pytest.raises(InputError, match="does not exist"):
            main(run, out=tmp_path / "other.onnx", photos=str(photos), max_loss=1, **options)


def test_photos_to_measure_on_may_be_given(whole, config, photos, tmp_path, capsys):
    (tmp_path / "some.csv").write_text(
        "path,label\n" + "".join(f"{photos}/kind{label}/{n}.png,{label}\n" for label in range(3) for n in range(5))
    )
    main(whole, out=tmp_path / "small.onnx", precision="fp16", photos=str(tmp_path / "some.csv"))
    assert "15 photos" in capsys.readouterr().out
    run = fit(
        replace(config, data=replace(config.data, validation="none"), train=replace(config.train, epochs=0)),
        tmp_path / "run",
    )
    with pytest.raises(InputError, match="has held out no photos to measure on; give some"):
        main(run, out=tmp_path / "other.onnx", precision="fp16")
    main(run, out=tmp_path / "other.onnx", precision="fp16", photos=str(tmp_path / "some.csv"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "nothing is to be changed; give --views, --size, --precision or --dimension"),
        ({"views": "hole,mirror"}, "unknown view 'hole'; did you mean 'whole'"),
        ({"views": "mirror,smaller"}, "--views is mirror,smaller; whole or closer must be among them"),
        ({"size": 0}, "size is 0; it must be at least 1 pixel and at most 8192"),
        ({"size": 100_000}, "size is 100000; it must be at least 1 pixel and at most 8192"),
        ({"views": "mirror,whole", "max_loss": 0.02}, "--max-loss is 0.02, but .* photos that are given: --photos"),
        ({"dimension": 0}, "dimension is 0; it must be at least 1 and below 16"),
        ({"dimension": 16}, "dimension is 16; it must be at least 1 and below 16"),
    ],
)
def test_what_makes_nothing_smaller(whole, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        main(whole, out=tmp_path / "small.onnx", **options)

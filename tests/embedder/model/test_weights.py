from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from embedder.model.backbone import build_backbone
from embedder.model.weights import fetching, read_file
from eval.errors import InputError

NAME = "timm:test_resnet"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=7).state_dict()


def write(state: dict[str, torch.Tensor], path: Path) -> str:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_file_fills_the_backbone_and_its_classifier_is_left_out(state, suffix: str, tmp_path: Path) -> None:
    body = build_backbone(NAME, write(state, tmp_path / f"weights{suffix}")).body
    assert len(body.state_dict()) == len(state) - 2
    assert all(torch.equal(value, state[name]) for name, value in body.state_dict().items())


def test_torchvision_file_fills_the_backbone(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    state = resnet18(num_classes=3).state_dict()
    backbone = build_backbone("torchvision:resnet18", write(state, tmp_path / "weights.pth"))
    assert torch.equal(backbone.stages[0][0].weight, state["conv1.weight"])
    assert torch.equal(backbone.stages[4][1].bn2.running_var, state["layer4.1.bn2.running_var"])


def test_wrappings_of_training_tools_are_taken_off(state, tmp_path: Path) -> None:
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}
    body = build_backbone(NAME, write(wrapped, tmp_path / "weights.pth")).body
    assert torch.equal(body.conv1[0].weight, state["conv1.0.weight"])


def test_old_files_may_lack_the_counters_of_batch_norm(state, tmp_path: Path) -> None:
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    build_backbone(NAME, write(old, tmp_path / "weights.pth"))


def test_weights_of_another_network_are_refused_with_numbers_and_names(state, tmp_path: Path) -> None:
    other = dict(state) | {"extra": torch.zeros(1), "bn1.weight": torch.zeros(5)}
    del other["bn1.bias"], other["conv1.0.weight"]
    path = write(other, tmp_path / "weights.safetensors")
    with pytest.raises(InputError) as caught:
        build_backbone(NAME, path)
    told = str(caught.value)
    assert "2 missing (conv1.0.weight, bn1.bias)" in told
    assert "1 unexpected (extra)" in told
    assert "1 of another shape (bn1.weight)" in told


@pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pth", "empty.pth"])
def test_damaged_files_are_told(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"not weights at all")
    with pytest.raises(InputError, match=f"{name} is damaged or holds more than tensors"):
        read_file(tmp_path / name)


def test_pickled_objects_are_never_unpickled(tmp_path: Path) -> None:
    torch.save({"weight": Path("/")}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="holds more than tensors"):
        read_file(tmp_path / "weights.pth")


def test_file_without_tensors_is_told(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "weights.pth")
    with pytest.raises(InputError, match="holds no tensors by name"):
        read_file(tmp_path / "weights.pth")


def test_missing_file_is_told_with_the_other_choices() -> None:
    with pytest.raises(InputError, match="'imagenet' are neither 'pretrained' nor 'random' nor a file"):
        build_backbone("efficientnet-lite0", "imagenet")


def test_a_download_has_a_timeout_only_while_it_runs() -> None:
    import socket

    before = socket.getdefaulttimeout()
    with fetching("a network", "a file"):
        assert 0 < socket.getdefaulttimeout() < 60
    assert socket.getdefaulttimeout() == before

import pytest
import torch
from torch import nn

from embedder.model.head import build_head
from eval.errors import InputError

FEATURES = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def test_linear_head_begins_as_orthogonal_directions() -> None:
    weight = build_head("linear", 6, 3)[0].weight
    assert torch.allclose(weight @ weight.T, torch.eye(3), atol=1e-5)


def test_heads_are_the_layers_they_say() -> None:
    mlp = build_head("mlp", 6, 3, norm="layer")
    normalised = (FEATURES - FEATURES.mean(1, keepdim=True)) / FEATURES.var(1, keepdim=True, correction=0).sqrt()
    hidden = (normalised @ mlp[1].weight.T + mlp[1].bias).clamp(min=0)
    assert torch.allclose(mlp(FEATURES), hidden @ mlp[3].weight.T + mlp[3].bias, atol=1e-4)
    assert torch.equal(build_head("none", 6, 3)(FEATURES), FEATURES)
    assert isinstance(build_head("none", 6, 3, norm="batch")[0], nn.BatchNorm1d)


def test_dropout_drops_in_training_only() -> None:
    head = build_head("none", 6, 3, dropout=0.5)
    assert torch.equal(head.eval()(FEATURES), FEATURES)
    assert (head.train()(FEATURES) == 0).any()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("liner", 6, 3), "unknown head 'liner'; did you mean 'linear'"),
        (("linear", 6, 3, "bach"), "unknown norm 'bach'; did you mean 'batch'"),
        (("linear", 6, 0), "dimension is 0"),
        (("linear", 6, 3, "none", 1.0), "dropout is 1.0"),
    ],
)
def test_wrong_settings_are_told(arguments: tuple, told: str) -> None:
    with pytest.raises(InputError, match=told):
        build_head(*arguments)

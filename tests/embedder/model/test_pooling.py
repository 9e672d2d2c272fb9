import pytest
import torch

from embedder.model.features import Backbone, Features
from embedder.model.pooling import GeneralizedMeanPooling, build_pooling
from eval.errors import InputError


class Stub(Backbone):
    name = "stub"

    def __init__(self, has_token: bool) -> None:
        super().__init__()
        self.has_token = has_token


@pytest.fixture
def features() -> Features:
    generator = torch.Generator().manual_seed(0)
    return Features(torch.randn(2, 3, 4, 5, generator=generator), torch.randn(2, 3, generator=generator))


def test_poolings_agree_with_loops(features: Features) -> None:
    stub = Stub(has_token=True)
    pooled = {name: build_pooling(name, stub)(features).detach() for name in ("avg", "max", "avg+max", "gem", "token")}
    for photo in range(2):
        for channel in range(3):
            values = [float(value) for value in features.map[photo, channel].flatten()]
            average, greatest = sum(values) / 20, max(values)
            p_mean = (sum(max(value, 1e-6) ** 3 for value in values) / 20) ** (1 / 3)
            wanted = {"avg": average, "max": greatest, "avg+max": average + greatest, "gem": p_mean}
            for name, value in wanted.items():
                assert float(pooled[name][photo, channel]) == pytest.approx(value, abs=1e-5)
            assert pooled["token"][photo, channel] == features.token[photo, channel]


def test_the_p_of_the_p_mean_is_learned_and_never_below_the_mean(features: Features) -> None:
    pooling = GeneralizedMeanPooling()
    pooling(features).sum().backward()
    assert pooling.p.grad != 0
    with torch.no_grad():
        pooling.p.fill_(-2.0)
    assert torch.allclose(pooling(features), features.map.clamp(min=1e-6).mean((2, 3)))


def test_the_p_mean_of_half_precision_maps_does_not_overflow() -> None:
    large = Features(torch.full((1, 2, 3, 3), 1000.0, dtype=torch.float16), None)
    pooled = GeneralizedMeanPooling()(large)
    assert pooled.dtype == torch.float32
    assert torch.allclose(pooled, torch.tensor(1000.0))


def test_token_needs_a_backbone_that_has_one(features: Features) -> None:
    with pytest.raises(InputError, match="stub has no class token; choose --model"):
        build_pooling("token", Stub(has_token=False))
    with pytest.raises(InputError, match="unknown pooling 'gme'; did you mean 'gem'"):
        build_pooling("gme", Stub(has_token=False))

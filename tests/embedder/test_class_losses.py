import math

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss, ProxyNCALoss, SubCenterArcFaceLoss

from embedder.class_losses import ArcFace, ProxyNCAPlusPlus, SubCentreArcFace, unit_length


def vectors(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(count, 6, generator=generator)), torch.arange(count) % 3


@pytest.mark.parametrize("margin", [0.0, 0.3, 1.2])
def test_arcface_is_the_library_s_with_its_margin_in_degrees(margin: float) -> None:
    photos, labels = vectors(60)
    ours, theirs = ArcFace(3, 6, margin, 32.0), ArcFaceLoss(3, 6, math.degrees(margin), 32.0)
    theirs.load_state_dict(ours.state_dict())
    assert ours(photos, labels).item() == pytest.approx(theirs(photos, labels).item(), rel=1e-5)


def test_sub_centre_arcface_is_the_library_s_with_its_margin_in_degrees() -> None:
    photos, labels = vectors(60)
    shape = {"num_classes": 3, "embedding_size": 6, "sub_centers": 2, "scale": 32.0}
    ours = SubCentreArcFace(**shape, margin=0.3)
    theirs = SubCenterArcFaceLoss(**shape, margin=math.degrees(0.3))
    theirs.load_state_dict(ours.state_dict())
    assert ours(photos, labels).item() == pytest.approx(theirs(photos, labels).item(), rel=1e-5)


@pytest.mark.parametrize("cosine", [1.0, -1.0])
def test_arcface_has_a_finite_gradient_where_a_vector_meets_its_class(cosine: float) -> None:
    loss = ArcFace(2, 3, 0.3, 32.0)
    with torch.no_grad():
        loss.W.copy_(torch.eye(3)[:, :2])
    photo = torch.tensor([[cosine, 0.0, 0.0]], requires_grad=True)
    loss(photo, torch.tensor([0])).backward()
    assert torch.isfinite(photo.grad).all()
    assert torch.isfinite(loss.W.grad).all()


def test_arcface_falls_all_the_way_from_an_angle_of_0_to_pi() -> None:
    loss = ArcFace(2, 3, 0.5, 32.0)
    widened = loss.modify_cosine_of_target_classes(torch.cos(torch.linspace(0, math.pi, 1000)))
    assert (widened.diff() < 1e-6).all()


def test_proxy_nca_is_the_library_s_where_that_does_not_round_to_zero() -> None:
    photos, labels = vectors()
    ours, theirs = ProxyNCAPlusPlus(3, 6, 1 / 9), ProxyNCALoss(3, 6, softmax_scale=9)
    theirs.load_state_dict(ours.state_dict())
    assert ours(photos, labels).item() == pytest.approx(theirs(photos, labels).item(), rel=1e-5)


def test_proxy_nca_still_pulls_the_hardest_photo() -> None:
    loss = ProxyNCAPlusPlus(2, 3, 0.02)
    with torch.no_grad():
        loss.proxies.copy_(torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]))
    photo = F.normalize(torch.tensor([[-1.0, 0.1, 0.0]])).requires_grad_()
    loss(photo, torch.tensor([0])).backward()  # e^-200 is zero in float32
    assert photo.grad.norm() > 1


def test_class_vectors_begin_at_about_unit_length_in_any_dimension() -> None:
    for dimension in (32, 2048):
        filled = unit_length(dimension)(torch.empty(50, dimension))
        assert filled.norm(dim=1).mean() == pytest.approx(1.0, abs=0.1)

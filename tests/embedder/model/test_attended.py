import torch

from embedder.model.attended import activation_map


def test_each_place_has_its_product_with_the_mean_of_all():
    features = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0)) + 0.3
    found = activation_map(features)
    for photo in range(2):
        mean = [sum(features[photo, c].flatten().tolist()) / 12 for c in range(5)]
        products = [
            [sum(mean[c] * features[photo, c, y, x].item() for c in range(5)) for x in range(4)] for y in range(3)
        ]
        least = min(map(min, products))
        products = [[product - least for product in row] for row in products]
        expected = torch.tensor(products) / sum(map(sum, products))
        torch.testing.assert_close(found[photo], expected)
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(2))


def test_where_all_features_point_one_way_it_is_their_strength():
    strength = torch.tensor([[1.0, 2.0], [3.0, 10.0]])
    features = strength * torch.tensor([3.0, 4.0])[:, None, None]
    torch.testing.assert_close(activation_map(features[None])[0], (strength - 1) / 12)


def test_of_nothing_all_places_are_alike():
    assert (activation_map(torch.zeros(1, 7, 2, 5)) == 0.1).all()
    assert (activation_map(torch.ones(1, 7, 2, 5)) == 0.1).all()


def test_half_precision_does_not_overflow():
    features = torch.full((1, 64, 7, 7), 300.0, dtype=torch.float16)
    torch.testing.assert_close(activation_map(features), torch.full((1, 7, 7), 1 / 49))

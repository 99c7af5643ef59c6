"""A vector-quantized autoencoder takes the nearest codes, learns through them, keeps them in use, and foresees them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models._causal import Causal
from models._codebook import IDLE, Codebook
from models._codec import Codec
from models.vqvae import SETTLED, VQVAE
from pipeline.core import Dataset, Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("pictures", {"image": TensorSpec((1, 1, 8, 12))}, classes=3, pixels=(-1.0, 3.0))
FAMILY = VQVAE(codes=6, dimension=4, channels=8, prior=8)


def built(family: VQVAE = FAMILY) -> Codec:
    torch.manual_seed(0)
    module = family.build(DOMAIN)
    assert isinstance(module, Codec)
    return module


def batch(n: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {"image": torch.rand(n, 1, 8, 12, generator=generator) * 4 - 1, "label": torch.arange(n) % 3}


def test_a_code_is_that_of_the_nearest_vector() -> None:
    codebook = Codebook(7, 4)
    vectors = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(2))
    flat = vectors.permute(0, 2, 3, 1).reshape(-1, 4)
    nearest = torch.cdist(flat, codebook.vectors.weight).argmin(1)
    assert codebook.nearest(vectors).flatten().tolist() == nearest.tolist()
    assert torch.equal(codebook.nearest(codebook(nearest.view(2, 3, 5))), nearest.view(2, 3, 5)), (
        "a code's vector is nearest to it"
    )


def test_the_picture_s_gradient_passes_from_the_codes_to_the_encoder_alone() -> None:
    codec = built()
    found = FAMILY.forward(codec, batch())
    (found["made"] - found["picture"]).square().mean().backward()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in codec.encoder.parameters())
    assert codec.codebook.vectors.weight.grad is None


def test_codes_are_drawn_to_their_vectors_and_vectors_less_to_their_codes() -> None:
    codec = built()
    found = FAMILY.forward(codec, batch())
    vectors, chosen = found["vectors"], found["chosen"]
    slopes = torch.autograd.grad(FAMILY.loss(found, batch()), (vectors, chosen), retain_graph=True)
    made = torch.autograd.grad((found["made"] - found["picture"]).square().mean(), vectors)
    away = 2 * (vectors - chosen) / vectors.numel()
    torch.testing.assert_close(slopes[0] - made[0], FAMILY.commitment * away)
    torch.testing.assert_close(slopes[1], -away)


def test_the_prior_learns_beside_and_changes_no_code() -> None:
    codec = built()
    found = FAMILY.forward(codec, batch())
    torch.nn.functional.cross_entropy(found["logits"], found["codes"]).backward()
    assert codec.codebook.vectors.weight.grad is None and all(each.grad is None for each in codec.encoder.parameters())
    assert all(each.grad is not None for each in codec.prior.parameters())


def test_the_prior_knows_all_codes_before_a_place_and_none_from_there_on() -> None:
    torch.manual_seed(0)
    prior = Causal(symbols=5, classes=2, channels=32, layers=5).eval()
    codes, label = torch.randint(5, (1, 4, 5)), torch.zeros(1, dtype=torch.int64)
    before = prior(codes, label)
    for row, column in np.ndindex(4, 5):
        other = codes.clone()
        other[0, row, column] = (other[0, row, column] + 1) % 5
        changed = (prior(other, label) != before).any(1).flatten().tolist()
        place = row * 5 + column
        assert not any(changed[: place + 1]), "a code tells nothing of itself and of those before it"
        assert all(changed[place + 1 :]), "and something of each that follows"
    assert not torch.equal(prior(codes, label + 1), before), "the label matters"


def test_codes_out_of_use_become_vectors_of_late_while_there_is_time() -> None:
    codec = built().train()
    FAMILY.forward(codec, batch())
    codebook = codec.codebook
    codebook.used.fill_(1.0)[2] = IDLE / 2
    before = codebook.vectors.weight.detach().clone()
    FAMILY.pace(codec, SETTLED)
    assert torch.equal(codebook.vectors.weight, before), "late in training nothing moves"
    FAMILY.pace(codec, 0.0)
    moved = (codebook.vectors.weight != before).any(1)
    assert moved.tolist() == [each == 2 for each in range(6)]
    assert (codec.encoder(batch()["image"]).permute(0, 2, 3, 1).reshape(-1, 4) - codebook.vectors.weight[2]).norm(
        dim=1
    ).min() < 1e-5
    FAMILY.pace(codec, 0.0)
    assert torch.equal(codebook.vectors.weight[2], codebook.recent[2]) and codebook.used[2] == 1, "it has its time to be taken"


def test_use_is_counted_in_training_alone() -> None:
    codec = built()
    before = codec.codebook.used.clone()
    codec.eval()
    FAMILY.forward(codec, batch())
    assert torch.equal(codec.codebook.used, before)
    codec.train()
    FAMILY.forward(codec, batch())
    assert not torch.equal(codec.codebook.used, before)
    assert float(codec.codebook.used.mean()) == pytest.approx(1, abs=1e-5), "shares of what is fair"


def test_training_begins_with_codes_that_vectors_are_near() -> None:
    image = np.random.default_rng(0).uniform(-1, 3, (20, 1, 8, 12)).astype(np.float32)
    data = Dataset(DOMAIN, {"train": {"image": image, "label": np.zeros(20, np.int64)}}, "")
    codec = built()
    FAMILY.begin(codec, data, 0)
    vectors = codec.encoder(torch.from_numpy(image)).permute(0, 2, 3, 1).reshape(-1, 4)
    assert torch.cdist(codec.codebook.vectors.weight, vectors).amin(1).max() < 1e-3
    other = built()
    FAMILY.begin(other, data, 0)
    assert torch.equal(other.codebook.vectors.weight, codec.codebook.vectors.weight), "the seed says which"


def test_what_has_no_labels_or_does_not_halve_twice_is_refused() -> None:
    with pytest.raises(UserError, match="vqvae: maps has no labelled pictures"):
        VQVAE().build(Domain("maps", {"image": TensorSpec((1, 1, 8, 8))}, pixels=(0.0, 1.0)))
    with pytest.raises(UserError, match="vqvae: pictures of 8x10 px do not fit; sides that 4 divides do"):
        VQVAE().build(Domain("odd", {"image": TensorSpec((1, 1, 8, 10))}, classes=2, pixels=(0.0, 1.0)))

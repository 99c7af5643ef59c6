import numpy as np
import pytest
import torch

from targets.runtimes.gpu._int8 import Int8Linear, lower


def by_hand(linear, x):
    """The formula in numpy, in int64 and float64."""
    weight, bias = linear.weight.detach().double().numpy(), 0 if linear.bias is None else linear.bias.detach().double().numpy()
    rows = x.double().numpy()
    row_scale, weight_scale = (np.abs(each).max(1, keepdims=True) / 127 for each in (rows, weight))
    sums = np.rint(rows / row_scale).astype(np.int64) @ np.rint(weight / weight_scale).astype(np.int64).T
    return sums * row_scale * weight_scale.T + bias


@pytest.mark.parametrize("sizes", [(64, 32), (13, 5), (300, 101)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 40])
def test_it_is_the_formula_whatever_the_sizes(sizes, bias, rows):
    torch.manual_seed(1)
    linear, x = torch.nn.Linear(*sizes, bias=bias), torch.randn(rows, sizes[0])
    found, wanted = Int8Linear(linear)(x), by_hand(linear, x)
    # Integer sums are exact; a value that falls between two integers may round the other way in float32.
    assert np.abs(found.numpy() - wanted).max() < 2e-2 * np.abs(wanted).max()
    assert np.median(np.abs(found.numpy() - wanted)) < 1e-6 * np.abs(wanted).max()


def test_a_row_does_not_depend_on_the_others_and_zeros_stay_the_bias():
    linear = torch.nn.Linear(16, 8)
    x = torch.randn(3, 4, 16)
    x[1, 2] = 0
    found = Int8Linear(linear)(x)
    assert found.shape == (3, 4, 8)
    torch.testing.assert_close(found[1, 2], linear.bias.detach())
    torch.testing.assert_close(Int8Linear(linear)(100 * x[2:, :1])[0, 0], 100 * (found[2, 0] - linear.bias) + linear.bias)


def test_every_plain_linear_layer_is_lowered_and_nothing_else():
    attention = torch.nn.MultiheadAttention(8, 2)  # reads the float weight of its own kind of linear layer
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(8, 4)), attention)
    assert lower(net) == 2
    assert [type(net[0]), type(net[1][1])] == [Int8Linear, Int8Linear]
    assert isinstance(attention.out_proj, torch.nn.Linear)
    assert lower(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))) == 0

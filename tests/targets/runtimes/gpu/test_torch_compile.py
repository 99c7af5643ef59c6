import pytest
import torch

from targets.runtimes.gpu.torch_compile import TorchCompile
from tests.targets.runtimes.gpu.conftest import DEVICES, TOLERANCES


# Torch's own, of its own insides, as it compiles anew for another batch size.
@pytest.mark.filterwarnings("ignore:::torch", "ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", TOLERANCES)
def test_it_says_what_float32_says_and_is_compiled(holds, batch, precision, device):
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    predict = holds(TorchCompile, precision, device)
    assert counters["stats"]["unique_graphs"] >= 2  # batch 1, and one that is open
    before = dict(counters["stats"])
    predict(batch(5))
    assert counters["stats"] == before, "the open one takes any size"

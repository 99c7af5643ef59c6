import numpy as np
import pytest
import torch

from pipeline.core import Domain, Facts, Model, Spec, TensorSpec
from pipeline.model_file import save

FAMILY = '''
from typing import final

import torch

from pipeline.core import Graph


class Net(torch.nn.Module):
    """A picture and a symbol: a convolution, an embedding, two linear layers of sizes that no integer unit likes."""

    def __init__(self):
        super().__init__()
        self.filters = torch.nn.Conv2d(1, 4, 3)
        self.symbols = torch.nn.Embedding(10, 7)
        self.hidden, self.last = torch.nn.Linear(4 * 6 * 6 + 7, 33), torch.nn.Linear(33, 5, bias=False)

    def forward(self, image, symbol):
        seen = torch.nn.functional.relu(self.filters(image)).flatten(1)
        hidden = torch.relu(self.hidden(torch.cat([seen, self.symbols(symbol[:, 0])], 1)))
        return self.last(hidden), hidden.argmax(1)


@final
class Tiny:
    def build(self, domain):
        return Net() if domain.classes else torch.nn.Conv2d(1, 4, 3)

    def graphs(self, module, domain):
        return {"net": Graph(module, domain.inputs, ("logits", "largest")[: 2 if domain.classes else 1])}
'''

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"))]
TOLERANCES = {"fp32": 1e-6, "fp16": 4e-3, "bf16": 3e-2, "int8": 3e-2}
"""Of the largest output: some roundings of 2^-24, 2^-11 and 2^-9; int8 rounds weights and activations to 1/127 of the largest."""


@pytest.fixture
def stored(tmp_path):
    """Stores the net, or one without a linear layer; gives its module and its files."""

    def store(linear=True):
        path = tmp_path / "tiny.py"
        path.write_text(FAMILY)
        inputs = {"image": TensorSpec((1, 1, 8, 8))}
        if linear:
            inputs["symbol"] = TensorSpec((1, 1), "int64")
        family, domain = Spec("model", str(path)), Domain("none", inputs, 3 if linear else 0)
        torch.manual_seed(0)
        module = family.build().build(domain).eval()
        return module, save(Model(family, domain, module, Facts(parameters=1, macs=1)), tmp_path / "saved")

    return store


@pytest.fixture
def batch():
    def make(size):
        generator = np.random.default_rng(size)
        return {"image": generator.random((size, 1, 8, 8), np.float32), "symbol": generator.integers(10, size=(size, 1))}

    return make


@pytest.fixture
def holds(stored, batch, monkeypatch, shared_home):
    """Loads the net in a precision and checks it against float32, alone and with others; gives the predictor."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(shared_home / "inductor"))

    def check(kind, precision, device):
        module, files = stored()
        predict = kind(precision, device).load(files, threads=1)
        for size in (1, 7, 3):
            inputs = batch(size)
            with torch.no_grad():
                logits, _ = module(*(torch.from_numpy(array) for array in inputs.values()))
            found = predict(inputs)
            assert (found["logits"].dtype, found["largest"].dtype) == (np.float32, np.int64)
            off = np.abs(found["logits"] - logits.numpy()).max() / np.abs(logits.numpy()).max()
            assert off < TOLERANCES[precision]
            assert precision == "fp32" or off > 1e-5, "it did compute in another precision"
        assert predict.batch is None
        return predict

    return check

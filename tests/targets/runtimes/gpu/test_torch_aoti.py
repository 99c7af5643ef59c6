import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.files import file_sha256
from targets.runtimes.gpu.torch_aoti import PACKAGES, TorchAoti
from tests.targets.runtimes.gpu.conftest import DEVICES, TOLERANCES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", TOLERANCES)
def test_it_says_what_float32_says(holds, precision, device):
    holds(TorchAoti, precision, device)


def test_a_graph_that_holds_on_to_its_batch_is_compiled_for_one_sample(stored, batch, holds):
    _, files = stored()
    family = Path(json.loads(files[0].read_text())["family"]["name"])
    family.write_text(
        family.read_text().replace("seen = torch", "image = image * (2 if image.shape[0] == 2 else 1)\n        seen = torch")
    )
    files[0].write_text(json.dumps({**json.loads(files[0].read_text()), "family_sha256": file_sha256(family)}))
    predict = TorchAoti("fp32", "cpu").load(files, threads=1)
    assert predict.batch == 1
    assert predict(batch(1))["logits"].shape == (1, 5)
    with pytest.raises(ValueError, match=r"expected float32 \(1, 1, 8, 8\), found float32 \(2, 1, 8, 8\)"):
        predict(batch(2))


def test_a_run_compiles_a_model_once_and_another_anew(holds, stored, batch, tmp_path, monkeypatch):
    packages, (_, files) = tmp_path / "packages", stored()
    packages.mkdir()
    monkeypatch.setenv(PACKAGES, str(packages))
    wanted = TorchAoti("fp32", "cpu").load(files, threads=1)(batch(3))
    (package,) = packages.iterdir()
    made = package.stat()
    again = TorchAoti("fp32", "cpu").load(files, threads=1)
    np.testing.assert_array_equal(again(batch(3))["logits"], wanted["logits"])
    assert again.batch is None
    assert (package.stat().st_ino, package.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    keys = {TorchAoti("fp32")._key(files), TorchAoti("fp32", "cpu")._key(files), TorchAoti("bf16", "cpu")._key(files)}
    files[1].write_bytes(b"other weights")
    assert len(keys | {TorchAoti("fp32", "cpu")._key(files)}) == 4

"""What every test shares: the checkout, a store that is kept between tests and runs, and the command line."""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from pipeline.__main__ import main
from pipeline.store import Store

if TYPE_CHECKING:
    from pipeline.core import Dataset, Domain, Model, Spec

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "tests"
"""Heavy steps are made once, by whichever test needs them first, and found again by content key."""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure() -> None:
    """Whatever a test forgets to set, nothing lands in the developer's own build/."""
    os.environ["EDGEPRESS_HOME"] = str(HOME)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks, and two tests at a time
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")  # what an example takes says more of the machine's load than of the code


@pytest.fixture(autouse=True)
def shared_home(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in the shared home unless it sets another."""
    monkeypatch.setenv("EDGEPRESS_HOME", str(HOME))
    return HOME


@pytest.fixture(scope="session")
def synthetic_data() -> Path:
    """A data root with a tiny set in each layout that our readers know: what tests/synthetic/ writes, once."""
    code = sorted((ROOT / "tests" / "synthetic").glob("*.py"))
    root = HOME / "data" / hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:16]
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_suffix(".lock")):
        if not root.is_dir():
            fresh = root.with_suffix(".part")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            for path in code:
                if not path.stem.startswith("_"):
                    runpy.run_path(str(path))["write"](fresh)
            fresh.rename(root)
    return root


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Runs `./edgepress ARGUMENTS` as a person does; `env` adds variables, `cwd` is the folder it is called from."""

    def run(*arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None, timeout: float = 600):
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd or ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **(env or {})},
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command line in this process; gives the one line with which it refused, having written nothing."""

    def run(*arguments: object) -> str:
        home = tmp_path / "untouched"
        monkeypatch.setenv("EDGEPRESS_HOME", str(home))
        monkeypatch.setattr(sys, "argv", ["edgepress", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        assert (stopped.value.code, out, err.count("\n")) == (2, "", 1), out + err
        assert not home.exists()
        return err.removeprefix("edgepress: ").rstrip("\n")

    return run


@pytest.fixture
def cut_down(tmp_path: Path) -> Callable[..., tuple[Model, Model]]:
    """A family's fresh module, and what `prune_structured` with these options leaves of it without any training."""
    import copy
    from dataclasses import replace

    import torch

    from pipeline import facts
    from pipeline.compress.prune_structured import PruneStructured
    from pipeline.core import Context, Dataset, Model, Train

    def cut(family: Spec, domain: Domain, data: Dataset | None = None, **options: object) -> tuple[Model, Model]:
        torch.manual_seed(0)
        built = family.build()
        model = Model(family, domain, (module := built.build(domain)), facts.measure(built.graphs(module, domain)))
        data = data or Dataset(domain, {}, "")
        context = Context(data, Train(batch=4), model, 0, Path(tempfile.mkdtemp(dir=tmp_path)), lambda *_: None)
        fresh = replace(model, module=copy.deepcopy(module))
        pruned = PruneStructured(**options)._cut(fresh, model, 1.0, context)
        return model, replace(pruned, facts=facts.measure(pruned.family.build().graphs(pruned.module, domain)))

    return cut


TINY = """
data = "digits"
preset = "quick"
formats = ["onnx"]
models = [{ model = "mlp", hidden = [16], train = { epochs = 2 } }]

[[variants]]
name = "pruned"
steps = [{ technique = "prune_structured", macs = 0.7, rounds = 1, epochs = 1 }]

[[variants]]
name = "int8"
steps = [{ technique = "quantize_static", calibration_samples = 16 }]
"""

FEW_SAMPLES = '''
"""The CPU of this machine, measured just enough for a test: one process, a few calls, its own turn and no lock."""
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar, final
from targets._sampling import Plan, Sampling, sample
from targets.transport.local import Local

@final
@dataclass(frozen=True)
class FewSamples:
    provenance: ClassVar = "measured"
    judges: ClassVar = None
    optional: ClassVar = False

    def usable(self):
        return None

    def reach(self, say):
        return nullcontext(self)

    def runtimes(self):
        return {"onnxruntime": None, "openvino": None}

    def measure(self, sets, lock, plan=None, progress=None):
        sampling = Sampling(warmup=1, rounds=8, calls=2, steady_calls=20, energy_seconds=0)
        return sample(Local(), sets, Plan(processes=2, sampling=sampling), progress)
'''


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """A recipe that runs in seconds: one small network on the digits, two variants, one format."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@dataclass(frozen=True)
class Checkout:
    """A copy of our code with a home of its own: it may be edited, filled up, and what runs in it killed."""

    root: Path
    home: Path

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Starts `./edgepress ARGUMENTS` from the folder that its home is in."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home.parent,
            env=self.environment(**environment),
        )

    def __call__(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs `./edgepress ARGUMENTS` to its end."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def environment(self, **changes: str) -> dict[str, str]:
        """The variables that `./edgepress` runs with here."""
        return {**os.environ, "PYTHONPATH": str(self.root), "EDGEPRESS_HOME": str(self.home), "COLUMNS": "160", **changes}

    def created(self) -> dict[str, float]:
        """When each step in the store was finished, by what it is."""
        return {entry.label: entry.created for entry in Store(self.home / "store").entries()}


def copy_code(root: Path) -> Path:
    """Our packages as they are now, and the target `few_samples`."""
    for package in ("pipeline", "models", "targets", "reports"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "published"))
    (root / "targets" / "few_samples.py").write_text(FEW_SAMPLES)
    return root


@pytest.fixture(scope="session")
def copied_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of our code that no test edits, and nobody else while the tests run."""
    return copy_code(tmp_path_factory.mktemp("code"))


@pytest.fixture
def checkout(copied_code: Path, tmp_path: Path) -> Checkout:
    """Our code with an empty home."""
    return Checkout(copied_code, tmp_path / "home")


@pytest.fixture
def own_checkout(tmp_path: Path) -> Checkout:
    """A checkout whose code the test may edit."""
    return Checkout(copy_code(tmp_path / "code"), tmp_path / "home")


@pytest.fixture(scope="session")
def finished_run(
    copied_code: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkout, subprocess.CompletedProcess[str]]:
    """The tiny recipe, run once with --aa --json."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(TINY)
    checkout = Checkout(copied_code, folder / "home")
    return checkout, checkout("run", "tiny.toml", "--target", "few_samples", "--aa", "--json")


@pytest.fixture
def finished(finished_run: tuple[Checkout, subprocess.CompletedProcess[str]], tmp_path: Path) -> Checkout:
    """A copy of a home in which the tiny recipe has been run; the recipe lies beside it as tiny.toml."""
    done, result = finished_run
    assert result.returncode == 0, result.stderr
    shutil.copytree(done.home, tmp_path / "home", symlinks=True)
    shutil.copy(done.home.parent / "tiny.toml", tmp_path / "tiny.toml")
    return Checkout(done.root, tmp_path / "home")

"""The kernels on ARM, under an emulator: with and without NEON, of 32 bits and of 64, what they give here to the last bit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from targets.kernels import build
from targets.kernels.layer import Shape
from targets.kernels.network import Bits, Floats, Network, Pool, Sign, write

DRIVE = Path(__file__).with_name("drive.cpp")
PROGRAMS = {
    "aarch64-linux-gnu-g++": ("qemu-aarch64-static", "g++-aarch64-linux-gnu"),
    "arm-linux-gnueabihf-g++": ("qemu-arm-static", "g++-arm-linux-gnueabihf"),
}
"""Compilers, the emulators of what they make, and Debian's packages of the former."""
PROCESSORS = {
    "cortex-a53": "aarch64-linux-gnu-g++",
    "cortex-a72": "aarch64-linux-gnu-g++",
    "cortex-a76": "aarch64-linux-gnu-g++",
    "cortex-a7": "arm-linux-gnueabihf-g++",
    "cortex-a15,neon=off": "arm-linux-gnueabihf-g++",
}
CASES, SAMPLES = 60, 2


def drawn(random: np.random.Generator) -> bytes:
    """A packed network of any shapes: groups, borders, strides, channels that fill no byte, pools, thresholds everywhere."""

    def number(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    def layer(size: tuple[int, int, int]) -> tuple[Shape, np.ndarray]:
        channels, high, wide = size
        groups = int(random.choice([each for each in (1, 2, 3, 5) if channels % each == 0]))
        kernel = number(1, min(4, high)), number(1, min(4, wide))
        pad = number(0, kernel[0] - 1), number(0, kernel[1] - 1)
        shape = Shape(*size, groups * number(1, 50), kernel, (number(1, 2), number(1, 2)), pad, groups)
        return shape, random.integers(0, 256, shape.taps).astype(np.uint8)

    size = number(1, 90), number(3, 9), number(3, 9)
    stages: list[Sign | Bits | Pool | Floats] = [
        Sign(size, random.normal(size=size[0]).astype(np.float32), random.random(size[0]) > 0.5)
    ]
    for _ in range(number(0, 3)):
        shape, weights = layer(size)
        size = (shape.outputs, *shape.output)
        everywhere = (*shape.output, shape.outputs) if number(0, 1) else (shape.outputs,)
        stages.append(Bits(shape, weights, random.integers(-20, 20, everywhere).astype(np.int32)))
        if number(0, 1) and min(size[1:]) > 1:
            stages.append(Pool(size, (2, 2), (2, 2), (0, 0)))
            size = (size[0], size[1] // 2, size[2] // 2)
    shape, weights = layer(size)
    return write([*stages, Floats(shape, weights, *random.normal(size=(2, shape.outputs)).astype(np.float32))])


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """Where a case lies, and what it gives on this machine."""
    folder, random = tmp_path_factory.mktemp("cases"), np.random.default_rng(0)
    found = {}
    for case in range(CASES):
        place, packed = folder / str(case), drawn(random)
        network = Network(packed)
        inputs = random.normal(size=(SAMPLES, *network.input)).astype(np.float32)
        place.with_suffix(".packed").write_bytes(packed)
        place.with_suffix(".in").write_bytes(inputs.tobytes())
        found[place] = network(inputs).tobytes()
    return found


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each compiler that is here makes of the kernels: a program without a library."""
    folder = tmp_path_factory.mktemp("programs")
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(shutil.which, PROGRAMS):
            patch.setenv("CXX", name)
            options = [each for each in build.OPTIONS if each not in ("-shared", "-fPIC")]
            build.compile_to(folder / name, (DRIVE,), (*options, "-static", f"-I{build.SOURCES[0].parent}"))
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["neon", "scalar"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_random_networks_give_what_they_give_here(
    processor: str, name: str, programs: dict[str, Path], cases: dict[Path, bytes]
) -> None:
    compiler = PROCESSORS[processor]
    emulator, package = PROGRAMS[compiler]
    if compiler not in programs or not shutil.which(emulator):
        pytest.skip(f"needs {compiler} and {emulator} (Debian: apt-get install {package} qemu-user-static)")
    command = [emulator, "-cpu", processor, programs[compiler], name, *cases]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if name == "neon" and processor.endswith("neon=off"):
        assert (done.returncode, done.stdout) == (1, "scalar\n"), "a set that the processor lacks is none of its own"
        return
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert name in done.stdout.split()
    different = [place.name for place, expected in cases.items() if place.with_suffix(".out").read_bytes() != expected]
    assert different == []
    for place in cases:
        place.with_suffix(".out").unlink()

"""What a call of each candidate costs in instructions: `python -m targets.device.counting JOB_DIR`, in a counting emulator.

The count is the emulator's: a system call that no kernel has tells it when to note it down. For candidate k the numbers are
4 k (before a call that is none), 4 k + 1 (after it), 4 k + 2 (before a call), 4 k + 3 (after it), REPEATS times each.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np

from targets.device.job import inside, read
from targets.device.runner import FAILURES
from targets.device.sampling import no_collection
from targets.runtimes._base import Arrays, find

MARKER = 9999
UNNOTED = MARKER + 1
"""No kernel has this one either, and nobody notes it: the warm-up goes the very way of what is counted."""
WARM, REPEATS = 64, 9
"""Python specializes its bytecode in its first calls, and a collection empties the lists that it takes small objects from."""


def main(arguments: list[str]) -> int:
    """Calls every candidate of the job; one that fails has no numbers."""
    folder = Path(arguments[0])
    job = read(folder)
    runtime = find(job.runtime)
    mark = ctypes.CDLL(None).syscall
    for number, entry in enumerate(job.candidates.values()):
        try:
            predict = runtime.load([inside(folder, name) for name in entry.files], job.threads)
            with np.load(inside(folder, entry.inputs), allow_pickle=False) as arrays:
                inputs = dict(arrays)
            predict(inputs)
        except FAILURES as error:
            print(f"{number}: {error}", file=sys.stderr)
            continue
        with no_collection():
            for noted in (UNNOTED,) * WARM + (MARKER,) * REPEATS:
                for place, call in ((0, _nothing), (2, predict)):
                    mark(noted, 4 * number + place)
                    call(inputs)
                    mark(noted, 4 * number + place + 1)
    return 0


def _nothing(inputs: Arrays) -> None:
    """What the counting itself costs."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

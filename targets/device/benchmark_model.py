"""Runs LiteRT's own benchmark_model on a file, where a person gave one: the host reads what it prints. Standard library only."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

SECONDS = 400
"""It ends by itself after 150 s of warm-up and 150 s of calls at the most."""
MOST = 20_000
"""Characters that are kept: its figures come last."""


def run(program: Path, model: Path, threads: int) -> dict[str, str]:
    """`ended`: how, unless well, in words; `output`: the last of what it said."""
    program.chmod(0o700)
    command = [str(program), f"--graph={model}", f"--num_threads={threads}"]
    output, ended = b"", ""
    try:
        # What it says on either stream, in the order in which it says it: versions differ in which they take.
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False
        )
        output = done.stdout
        if done.returncode < 0:
            ended = f"was ended by {signal.Signals(-done.returncode).name}"
        elif done.returncode:
            ended = f"ended with exit code {done.returncode}"
    except subprocess.TimeoutExpired:
        ended = f"did not end within {SECONDS} s"
    except OSError as error:
        ended = f"does not start ({error.strerror})"
    return {"ended": ended, "output": output.decode(errors="replace")[-MOST:]}

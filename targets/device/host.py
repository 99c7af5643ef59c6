"""What a machine is and what state it is in, as far as it matters to inference. Standard library only; reads, never guesses.

What cannot be read is None (or an empty list), never a default.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")
FEATURES = {  # the kernel's or macOS's word for it: ours
    **{name: name for name in ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "neon", "i8mm")},
    "asimd": "neon",
    "asimddp": "dotprod",
    "AVX2": "avx2",
    "AVX512VNNI": "avx512_vnni",
    "hw.optional.neon": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
}
ARM_PARTS = {  # Linux names no ARM core; Arm's own MIDR part numbers
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
}


def facts() -> dict[str, Any]:
    """`cpu` (model name), `cores` (that this process may use), `features` and `os`."""
    if CPUINFO.is_file():
        cpu, features = parse_cpuinfo(CPUINFO.read_text(errors="replace"))
    else:
        cpu, features = _from_sysctl()
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return {"cpu": cpu or platform.machine(), "cores": cores, "features": features, "os": _os_name()}


def state() -> dict[str, Any]:
    """What moves while measuring: the frequency governor, the clock in MHz, the one-minute load."""
    kilohertz = _read(FREQUENCY / "scaling_cur_freq")
    return {
        "governor": _read(FREQUENCY / "scaling_governor"),
        "mhz": int(kilohertz) / 1000 if kilohertz else None,
        "load": os.getloadavg()[0],
    }


def parse_cpuinfo(text: str) -> tuple[str | None, list[str]]:
    """CPU name and the features that matter from the text of /proc/cpuinfo.

    >>> parse_cpuinfo("Features : fp asimd asimddp\\nCPU part : 0xd0b\\n\\nModel : Raspberry Pi 5 Model B Rev 1.0")
    ('Cortex-A76 (Raspberry Pi 5 Model B Rev 1.0)', ['dotprod', 'neon'])
    """
    fields = dict[str, str]()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    features = _known(fields.get("flags", fields.get("Features", "")).split())
    core, board = ARM_PARTS.get(fields.get("CPU part", "")), fields.get("Model")
    arm = f"{core} ({board})" if core and board else core or board
    return fields.get("model name") or arm, features


def _known(words: list[str]) -> list[str]:
    return sorted({FEATURES[word] for word in words if word in FEATURES})


def _from_sysctl() -> tuple[str | None, list[str]]:
    """macOS: a name's answer is "1" for a feature that is there; x86 lists its features in one line."""
    words = [name for name in FEATURES if name.startswith("hw.") and _sysctl(name) == "1"]
    words += _sysctl("machdep.cpu.leaf7_features").split()
    return _sysctl("machdep.cpu.brand_string") or None, _known(words)


def _sysctl(name: str) -> str:
    with contextlib.suppress(OSError):
        return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()
    return ""


def _os_name() -> str:
    with contextlib.suppress(OSError):
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {platform.release()}"
    return platform.platform()


def _read(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return None

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
CORES = Path("/sys/devices/system/cpu")
THERMAL = Path("/sys/class/thermal")
FIRMWARE = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
BITS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
"""Of the Raspberry Pi's firmware, from the lowest bit on; 16 bits higher: since it was started."""
PLAUSIBLE = range(1, 150)
"""Degrees Celsius: phones have zones that are no thermometers, and give -273000 or 0."""
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
    """What moves while measuring.

    The frequency governor, each core's clock in MHz, the one-minute load, the hottest sensor in degrees Celsius, and what a
    Raspberry Pi's firmware says of its supply and heat: a list of words, empty when all is well, None where nobody says.
    """
    return {
        "governor": read_text(CORES / "cpu0/cpufreq/scaling_governor"),
        "mhz": [int(kilohertz) / 1000 for path in _cores() if (kilohertz := read_text(path / "cpufreq/scaling_cur_freq"))],
        "load": os.getloadavg()[0],
        "celsius": max((degrees for zone in sorted(THERMAL.glob("thermal_zone*")) if (degrees := _degrees(zone))), default=None),
        "throttled": throttled(read_text(FIRMWARE) or vcgencmd("get_throttled")),
    }


def throttled(text: str | None) -> list[str] | None:
    """The words for the firmware's bits: what is so now, and what was so since the board was started.

    >>> throttled("throttled=0x50005"), throttled("0"), throttled(None)
    (['under-voltage now', 'throttled now', 'under-voltage before', 'throttled before'], [], None)
    """
    if not text:
        return None
    try:
        bits = int(text.rpartition("=")[2], 16)
    except ValueError:
        return None
    return [
        f"{word} {when}" for when, shift in (("now", 0), ("before", 16)) for n, word in enumerate(BITS) if bits >> shift + n & 1
    ]


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


def _cores() -> list[Path]:
    return sorted(CORES.glob("cpu[0-9]*"), key=lambda path: int(path.name.removeprefix("cpu")))


def _degrees(zone: Path) -> float | None:
    """A zone's temperature; the kernel gives thousandths of a degree."""
    try:
        degrees = int(read_text(zone / "temp") or "") / 1000
    except ValueError:
        return None
    return degrees if int(degrees) in PLAUSIBLE else None


def vcgencmd(*arguments: str) -> str | None:
    """What the Raspberry Pi's firmware answers; None where there is none that does."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["vcgencmd", *arguments], capture_output=True, text=True, timeout=5, check=False)
        return done.stdout.strip() if done.returncode == 0 else None
    return None


def _os_name() -> str:
    with contextlib.suppress(OSError):
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {platform.release()}"
    return platform.platform()


def read_text(path: Path) -> str | None:
    """A small file's text without the spaces around it; None where it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return None

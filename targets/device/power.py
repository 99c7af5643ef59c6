"""Energy of a block of calls, where the machine has a meter: of all that the meter feeds, so what idles there is in it.

    RAPL   the counters of Intel's and AMD's processor packages (Linux powercap); most systems let only root read them
    PMIC   the power chip of a Raspberry Pi 5: volts and amperes of each rail, as `vcgencmd pmic_read_adc` tells them.
           What is fed past it (USB, boards on top) and what it loses itself is not in it.

Where there is no meter there is no figure: nothing is estimated. Standard library only.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Protocol

from targets.device.host import read_text, vcgencmd
from targets.device.sampling import clock

ZONES = Path("/sys/class/powercap")
PACKAGE = "intel-rapl:[0-9]*"
"""AMD's bear the same name. `intel-rapl-mmio` counts a package a second time, and does not match."""
PERIOD_SECONDS = 0.25
"""Between two looks at the PMIC: one starts a process of some milliseconds, which this keeps at a percent or two of a core."""
LEAST_LOOKS = 8
"""A mean of fewer is none."""
RAIL = re.compile(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)[AV]")
Durations = list[int]


class Meter(Protocol):
    """What tells energy."""

    name: ClassVar[str]

    def during(self, work: Callable[[], Durations]) -> tuple[Durations, float | None]:
        """What `work` returns, and the joules that went meanwhile; None where they could not be read."""


@dataclass(frozen=True)
class Rapl:
    """Counters of microjoules, read at both ends; the kernel moves them every millisecond."""

    zones: tuple[Path, ...]
    """Of the packages: `core`, `uncore` and `dram` below them are parts of one, `psys` is more than all of them."""
    name: ClassVar[str] = "RAPL (processor packages)"

    def during(self, work: Callable[[], Durations]) -> tuple[Durations, float | None]:
        """A counter may begin anew once meanwhile; at the least 65 kJ fit in one, which is minutes of any package."""
        before = [_number(zone / "energy_uj") for zone in self.zones]
        durations = work()
        joules = 0.0
        for zone, first in zip(self.zones, before, strict=True):
            last, most = _number(zone / "energy_uj"), _number(zone / "max_energy_range_uj")
            if first is None or last is None or (last < first and most is None):
                return durations, None
            joules += (last - first + (most or 0) * (last < first)) / 1e6
        return durations, joules or None


@dataclass(frozen=True)
class Pmic:
    """Watts, looked at by a thread that sleeps in between: the chip has no counter, so its mean is taken over the block."""

    name: ClassVar[str] = "PMIC (the board's rails)"

    def during(self, work: Callable[[], Durations]) -> tuple[Durations, float | None]:
        """The mean of the looks times the duration."""
        looks: list[float] = []
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(PERIOD_SECONDS):
                found = watts(vcgencmd("pmic_read_adc"))
                if found is not None:
                    looks.append(found)

        thread = threading.Thread(target=look)
        thread.start()
        start = clock()
        try:
            durations = work()
            seconds = (clock() - start) / 1e9
        finally:
            ended.set()
            thread.join()
        return durations, fmean(looks) * seconds if len(looks) >= LEAST_LOOKS else None


@dataclass
class Tally:
    """What a meter says of some blocks of one candidate, added up."""

    meter: Meter
    joules: float = 0.0
    calls: int = 0

    def around(self, work: Callable[[], Durations]) -> Durations:
        """Does the work; its energy and its calls count, both or neither."""
        durations, joules = self.meter.during(work)
        if joules is not None:
            self.joules += joules
            self.calls += len(durations)
        return durations

    def as_json(self) -> dict[str, Any] | None:
        """For the result; None where the meter said nothing."""
        return {"meter": self.meter.name, "joules": self.joules, "calls": self.calls} if self.calls else None


def find() -> Meter | None:
    """The meter of this machine that can be read, if there is one."""
    zones = [zone for zone in sorted(ZONES.glob(PACKAGE)) if (read_text(zone / "name") or "").startswith("package")]
    if zones and all(_number(zone / "energy_uj") is not None for zone in zones):
        return Rapl(tuple(zones))
    return Pmic() if watts(vcgencmd("pmic_read_adc")) is not None else None


def watts(text: str | None) -> float | None:
    """The sum over the rails of which both volts and amperes are told: of the supply itself (EXT5V) there are volts alone.

    >>> watts("VDD_CORE_A current(7)=2.0A\\n     EXT5V_V volt(24)=5.1V\\n  VDD_CORE_V volt(15)=0.75V"), watts("error=1")
    (1.5, None)
    """
    told = {(rail, unit): float(value) for rail, unit, value in RAIL.findall(text or "")}
    rails = [value * told[rail, "V"] for (rail, unit), value in told.items() if unit == "A" and (rail, "V") in told]
    return sum(rails) if rails else None


def _number(path: Path) -> int | None:
    text = read_text(path)
    return int(text) if text and text.isdigit() else None

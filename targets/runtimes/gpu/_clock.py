"""Time on a device. What is timed begins with a cold L2 cache, on a GPU between two events of its own stream.

A call repeated on a GPU finds its weights and inputs in the L2, which in use other work has filled. So before each call a
buffer of twice the L2's size is written (as triton.testing.do_bench does). The write is not timed; while it lasts the host
runs ahead, so launches show only as far as they outlast it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

import torch


class Clock(ABC):
    """Times one piece of work at a time."""

    def __init__(self, device: str, l2_bytes: int) -> None:
        self.buffer = torch.empty(2 * l2_bytes, dtype=torch.uint8, device=device)

    @abstractmethod
    def time(self, work: Callable[[], object]) -> int:
        """Nanoseconds that the device took for it, at least 1."""

    @abstractmethod
    def settle(self) -> None:
        """Waits until all that the device was given is done."""


@final
class HostClock(Clock):
    """The host's monotonic clock, for a device that has done its work when a call returns."""

    def __init__(self, device: str = "cpu", l2_bytes: int = 0) -> None:
        super().__init__(device, l2_bytes)

    def time(self, work: Callable[[], object]) -> int:
        """See Clock."""
        self.buffer.zero_()
        start = time.perf_counter_ns()
        work()
        return max(time.perf_counter_ns() - start, 1)

    def settle(self) -> None:
        """Nothing is ever under way."""


@final
class EventClock(Clock):
    """CUDA's events (they resolve half a microsecond) on a stream of their own: ONNX Runtime cannot share the default one."""

    def __init__(self, device: str = "cuda", l2_bytes: int | None = None) -> None:
        size = torch.cuda.get_device_properties(0).L2_cache_size if l2_bytes is None else l2_bytes
        super().__init__(device, size)
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
        events: Any = torch.cuda.Event  # torch's own is untyped
        self._start, self._stop = (events(enable_timing=True) for _ in range(2))

    def time(self, work: Callable[[], object]) -> int:
        """See Clock."""
        with torch.cuda.stream(self.stream):
            self.buffer.zero_()
            self._start.record()
            work()
            self._stop.record()
        self._stop.synchronize()
        milliseconds: float = self._start.elapsed_time(self._stop)
        return max(round(milliseconds * 1e6), 1)

    def settle(self) -> None:
        """See Clock."""
        torch.cuda.synchronize()


def clock_of(device: str) -> Clock:
    """The clock of a device of torch."""
    return EventClock(device) if device == "cuda" else HostClock(device)

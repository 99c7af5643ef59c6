import contextlib
import time

import torch

from targets.runtimes.gpu._clock import EventClock, HostClock, clock_of


def test_the_buffer_is_written_before_the_work_and_not_in_its_time():
    clock = HostClock("cpu", l2_bytes=50_000_000)
    assert clock.buffer.numel() == 100_000_000
    clock.buffer.fill_(1)
    seen = []
    took = clock.time(lambda: seen.append(int(clock.buffer.max())))
    assert seen == [0]
    start = time.perf_counter_ns()
    clock.buffer.zero_()
    assert HostClock().time(lambda: None) < time.perf_counter_ns() - start, "writing so much takes longer than nothing"
    assert took > 0


def test_time_passes():
    assert 20_000_000 <= HostClock().time(lambda: time.sleep(0.02)) < 2_000_000_000
    assert isinstance(clock_of("cpu"), HostClock)


def test_on_a_gpu_the_work_lies_between_two_events_behind_the_written_buffer(monkeypatch):
    """The order in which a GPU would be told; what it would answer is not ours."""
    told = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            told.append(("record", self, int(clock.buffer.max())))

        def synchronize(self):
            told.append(("wait", self, 0))

        def elapsed_time(self, end):
            told.append(("elapsed", self, end))
            return 0.0125  # milliseconds

    @contextlib.contextmanager
    def stream(chosen):
        told.append(("stream", chosen, 0))
        yield
        told.append(("stream", None, 0))

    for name, value in {"Event": Event, "Stream": lambda: "its own", "stream": stream}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    clock = EventClock("cpu", l2_bytes=16)
    clock.buffer.fill_(1)
    assert clock.time(lambda: told.append(("work", None, 0))) == 12_500
    (_, start, _), (_, stop, _) = (each for each in told if each[0] == "record")
    assert told == [
        ("stream", "its own", 0),
        ("record", start, 0),
        ("work", None, 0),
        ("record", stop, 0),
        ("stream", None, 0),
        ("wait", stop, 0),
        ("elapsed", start, stop),
    ]

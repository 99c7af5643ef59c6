import gc
import random
import time

import numpy as np
import pytest

from targets.device.job import Sampling
from targets.device.sampling import Call, curve, handicapped, interleaved, no_collection, sustained, timed, warm
from targets.runtimes._base import Staged


def recorder(log, name):
    return Call(lambda inputs: log.append(name) or inputs, {})


def test_each_round_is_a_permutation_with_all_calls_of_a_candidate_together():
    log = []
    calls = {name: recorder(log, name) for name in "abc"}
    rounds = interleaved(calls, Sampling(rounds=30, calls=3), random.Random(0))
    orders = [tuple(times) for times in rounds]
    assert log == [name for order in orders for name in order for _ in range(3)]
    assert {frozenset(order) for order in orders} == {frozenset("abc")}
    assert len(set(orders)) > 1


def test_the_first_call_of_a_turn_is_dropped_and_the_fastest_other_kept(monkeypatch):
    monkeypatch.setattr("targets.device.sampling.timed", lambda call, count: [1, 30, 20])
    assert interleaved({"a": Call(dict, {})}, Sampling(rounds=2), random.Random(0)) == [{"a": 20}, {"a": 20}]


def test_warm_up_goes_round_robin():
    log = []
    warm({name: recorder(log, name) for name in "ab"}, 3)
    assert log == list("ababab")


def test_a_block_ends_when_its_time_is_over():
    assert len(timed(Call(lambda inputs: time.sleep(0.02) or inputs, {}), 400, seconds=0.01)) == 1
    assert len(timed(Call(dict, {}), 7)) == 7


@pytest.mark.parametrize("handicap", [0.5, 2.0])
def test_a_handicap_stretches_a_call_and_keeps_its_outputs(handicap):
    outputs = {"y": np.ones(2)}
    slower = handicapped(lambda inputs: time.sleep(0.005) or outputs, handicap)
    (duration,) = timed(Call(slower, {}), 1)
    assert duration >= 5_000_000 * (1 + handicap)
    assert slower({}) is outputs


def test_no_handicap_adds_nothing():
    assert handicapped(dict, 0.0) is dict


def test_the_collector_is_back_on_even_after_an_error():
    with pytest.raises(KeyError), no_collection():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


class Accelerator(Staged):
    """Says how long a call took there; gives up from a batch size on."""

    batch = None

    def __init__(self, error=None, slow=0):
        self.error, self.slow, self.staged = error, slow, []

    def __call__(self, inputs):
        raise AssertionError("what is timed is the staged call")

    def stage(self, inputs):
        size = len(inputs["x"])
        self.staged.append({name: array.shape for name, array in inputs.items()})
        if self.error and size >= 8:
            raise self.error
        return lambda: size * 1_000 + self.slow

    def peak_bytes(self):
        return None


SAMPLE = {"x": np.ones((1, 3), np.float32), "step": np.array(5)}


def test_a_staged_call_is_timed_by_its_own_clock():
    device = Accelerator()
    call = Call(device, SAMPLE, device.stage(SAMPLE))
    warm({"a": call}, 2)
    assert timed(call, 4) == [1_000] * 4
    assert interleaved({"a": call}, Sampling(rounds=2), random.Random(0)) == [{"a": 1_000}] * 2


def test_throughput_is_taken_at_every_batch_size_with_the_sample_repeated():
    device = Accelerator()
    found = curve(device, SAMPLE, (1, 4))
    assert device.staged == [{"x": (1, 3), "step": ()}, {"x": (4, 3), "step": ()}]
    assert {batch: (set(calls), len(calls)) for batch, calls in found.calls.items()} == {1: ({1_000}, 25), 4: ({4_000}, 25)}
    assert found.ended == "the largest that was asked for"


@pytest.mark.parametrize(
    ("device", "sizes", "ended"),
    [
        (Accelerator(RuntimeError("CUDA out of memory. Tried to allocate 20 GiB.")), [1, 4], "batch 8: out of memory"),
        (Accelerator(ValueError("x: expected (1, 3)")), [1, 4], "batch 8: x: expected (1, 3)"),
        (Accelerator(slow=10**8), [1], "batch 1: 25 calls took more than 2 s"),
    ],
)
def test_a_curve_ends_where_it_must_and_says_why(device, sizes, ended):
    found = curve(device, SAMPLE, (1, 4, 8, 16))
    assert (list(found.calls), found.ended) == (sizes, ended)


def test_a_file_of_one_batch_size_has_that_one_only(monkeypatch):
    monkeypatch.setattr(Accelerator, "batch", 1)
    found = curve(Accelerator(), SAMPLE, (1, 4, 8))
    assert (list(found.calls), found.ended) == ([1], "the file takes this batch size only")


def test_a_sustained_block_is_told_minute_by_minute():
    seconds = [0.0]

    def slower(inputs):
        seconds[0] += 0.003
        time.sleep(seconds[0])
        return {}

    medians = sustained(Call(slower, {}), seconds=0.3, part=0.1)
    assert 3 <= len(medians) <= 4
    assert medians[0] < medians[1] < medians[2]

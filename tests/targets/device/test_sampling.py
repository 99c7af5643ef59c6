import gc
import random
import time

import numpy as np
import pytest

from targets.device.job import Sampling
from targets.device.sampling import Call, handicapped, interleaved, no_collection, sustained, timed, warm


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


def test_a_sustained_block_is_told_minute_by_minute():
    seconds = [0.0]

    def slower(inputs):
        seconds[0] += 0.003
        time.sleep(seconds[0])
        return {}

    medians = sustained(Call(slower, {}), seconds=0.3, part=0.1)
    assert 3 <= len(medians) <= 4
    assert medians[0] < medians[1] < medians[2]

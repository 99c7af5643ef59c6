import onnxruntime
import pytest

from pipeline.bench import measure
from reports.record import LatencyRatio


def trial(kind, verdict):
    return measure.Trial(kind, "onnxruntime", "net", LatencyRatio(1.0, 1.0, 1.0, verdict))


def test_a_false_verdict_and_a_miss_are_counted():
    found = [
        *[trial("aa", verdict) for verdict in ("equivalent", "faster", "slower", "inconclusive")],
        *[trial("slow15", verdict) for verdict in ("slower", "faster")],
        *[trial("slow5", verdict) for verdict in ("slower", "inconclusive", "equivalent")],
    ]
    assert measure.counts(found) == {
        "aa_trials": 4,
        "aa_false": 2,
        "aa_equivalent": 1,
        "slow15_trials": 2,
        "slow15_found": 1,
        "slow5_trials": 3,
        "slow5_found": 1,
    }


@pytest.mark.parametrize("net", measure.NETS, ids=lambda net: net.name)
def test_the_nets_run_and_keep_their_scale(net, tmp_path):
    path = measure.onnx_file(net, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, measure.sample_of(net))
    assert found.shape == net.shape
    assert 0.01 < found.std() < 100  # neither dead nor overflowing, whose arithmetic may take another time


def test_a_job_gives_the_trials_it_promises(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "SAMPLING", measure.Sampling(warmup=1, rounds=2, steady_calls=0))
    (found,) = measure.trials("onnxruntime", 1, tmp_path, tmp_path / "lock")
    assert [each.kind for each in found] == ["aa", "aa", "slow15", "slow5"]

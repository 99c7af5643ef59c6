import numpy as np
from filelock import FileLock

from pipeline.measure import Failure, Samples, compare, latency, peak_memory
from pipeline.registry import find, names
from targets._sampling import Candidate, MeasureSet, Plan
from targets.device.job import Sampling

QUICK = Sampling(warmup=2, rounds=8, steady_calls=10, energy_seconds=0)


def test_cpu_is_a_target_and_tells_of_every_runtime():
    cpu = find("target", "cpu")()
    assert cpu.usable() is None
    assert sorted(cpu.runtimes()) == names("runtime")
    assert cpu.runtimes()["onnxruntime"] is None


def test_files_are_measured_end_to_end(onnx_file, inputs, tmp_path):
    good = Candidate((onnx_file(),), inputs)
    broken = Candidate((tmp_path / "broken.onnx",), inputs)
    broken.files[0].write_bytes(b"no model")
    sets = [
        MeasureSet("onnxruntime", {"reference": good, "slow": Candidate(good.files, inputs, handicap=9.0), "broken": broken}),
        MeasureSet("onnxruntime", {"reference": good}),
    ]
    heard = []
    plan = Plan(processes=2, sampling=QUICK)
    measured = find("target", "cpu")().measure(sets, tmp_path / "locks" / "host", plan, lambda *said: heard.append(said[:2]))
    first, second = measured.sets
    assert isinstance(first["broken"], Failure)
    assert "broken.onnx" in first["broken"].reason
    assert isinstance(second["reference"], Samples)
    found = compare(first["slow"], first["reference"])
    # Ten times as long by construction; a stall of the machine may hit either side of some rounds.
    assert found.verdict == "slower"
    assert found.ratio > 3
    assert latency(first["slow"], threads=1).samples == 20
    assert peak_memory(first["slow"]) > 10_000_000
    assert heard[-1] == (2, 2)
    assert [result["environment"]["variables"]["OMP_NUM_THREADS"] for result in measured.raw["onnxruntime"]] == ["1", "1"]


def test_nothing_is_measured_while_another_run_measures(onnx_file, inputs, tmp_path):
    lock = FileLock(tmp_path / "host")
    lock.acquire()
    events = []

    def progress(done, total, what=""):
        if what.startswith("waiting"):
            events.append("waited")
            lock.release()  # the other run ends
        else:
            events.append("measured")

    sets = [MeasureSet("onnxruntime", {"a": Candidate((onnx_file(),), inputs)})]
    find("target", "cpu")().measure(sets, tmp_path / "host", Plan(processes=1, sampling=QUICK), progress)
    assert events[0] == "waited"
    assert "measured" in events
    assert np.all(np.diff([event == "measured" for event in events]) >= 0)

import json
from dataclasses import replace

import numpy as np
import pytest

from models.tasks.classification import Classification
from pipeline.measure import Failure, Samples, energy
from reports.record import Energy
from targets._result import RunFailed
from targets._sampling import Candidate, MeasureSet, Plan, ToJudge, sample
from targets.device import job as jobs

HOST = {"cpu": "one", "cores": 4, "features": [], "os": "an os"}
STATE = {"governor": None, "mhz": [], "load": 0, "celsius": None, "throttled": None}
TIMED = {"load_ns": 1, "first_ns": 2, "peak_bytes": 3, "outputs": "outputs.npz", "steady_ns": [4]}


class Pretend:
    """A device that answers at once: candidate "bad" fails there, a runtime "absent" does not exist."""

    def __init__(self, **lies):
        self.jobs = []
        self.lies = lies

    def run(self, folder, result, threads, timeout, heard):
        job = jobs.read(folder)  # verified as a device would
        self.jobs.append(job)
        if job.runtime == "absent":
            raise RunFailed("absent is not installed")
        heard("a library's greeting")
        heard("progress 1 2")
        np.savez(result / "outputs.npz", y=np.ones(3))
        np.savez(result / "evidence.npz", correct=np.ones(4, bool))
        names = {name: int(name.split("/")[0]) * 1000 + job.seed + 1 for name in job.candidates}
        body = {
            "schema": "edgepress.samples/2",
            "environment": {"host": HOST, "state_before": STATE, "state_after": STATE, "package": "one", "version": "1"},
            "judged": {
                name: {"error": "broken"} if name.endswith("bad") else {"evidence": "evidence.npz"} for name in job.judgings
            },
            "candidates": {
                name: {"error": "broken"}
                if name.endswith("bad")
                else {"load_ns": 1, "first_ns": 2, "peak_bytes": 3, "outputs": "outputs.npz", "steady_ns": [time] * 4}
                for name, time in names.items()
            },
            "sets": [{"rounds": [{name: names[name] for name in group if not name.endswith("bad")}] * 5} for group in job.sets],
            "files": {path.name: [path.stat().st_size, jobs.file_sha256(path)] for path in result.glob("*.npz")},
        }
        (result / "result.json").write_text(json.dumps({**body, **self.lies}))


@pytest.fixture
def candidate(tmp_path):
    def make(xml=b"structure", binary=b"weights"):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "net.xml").write_bytes(xml)
        (folder / "net.bin").write_bytes(binary)
        return Candidate((folder / "net.xml", folder / "net.bin"), {"x": np.ones(2)})

    return make


def run(sets, plan=None):
    device, heard = Pretend(), []
    return device, sample(device, sets, plan or Plan(), lambda *said: heard.append(said)), heard


def test_every_runtime_gets_fresh_processes_with_seeds_of_their_own(candidate):
    sets = [MeasureSet("one", {"a": candidate()}), MeasureSet("two", {"a": candidate()}), MeasureSet("one", {"a": candidate()})]
    device, measured, _ = run(sets, Plan(processes=2, seed=7))
    assert [(job.runtime, job.seed) for job in device.jobs] == [("one", 7000), ("one", 7001), ("two", 7000), ("two", 7001)]
    assert {name: len(results) for name, results in measured.raw.items()} == {"one": 2, "two": 2}


def test_samples_come_back_to_their_own_set_by_name(candidate):
    sets = [MeasureSet("one", {"a": candidate(), "b": candidate()}), MeasureSet("one", {"a": candidate()})]
    _, measured, _ = run(sets, Plan(processes=3))
    assert [set(each) for each in measured.sets] == [{"a", "b"}, {"a"}]
    found = measured.sets[1]["a"]
    assert isinstance(found, Samples)
    assert found.rounds.shape == (3, 5)
    np.testing.assert_array_equal(found.rounds[:, 0], [1001, 1002, 1003])  # set 1, seeds 0 1 2
    assert [block.tolist() for block in found.steady] == [[1001] * 4, [1002] * 4, [1003] * 4]
    assert found.load.tolist() == [1, 1, 1]


def test_files_that_differ_only_in_the_second_stay_apart_and_equal_ones_travel_once(candidate):
    sets = [MeasureSet("one", {"a": candidate(), "again": candidate(), "other": candidate(binary=b"other weights")})]
    device, _, _ = run(sets, Plan(processes=1))
    entries = device.jobs[0].candidates
    assert entries["0/a"] == entries["0/again"]
    assert entries["0/a"].files != entries["0/other"].files


def test_energy_is_the_median_over_the_processes_of_what_a_call_took(candidate):
    class Metered(Pretend):
        def run(self, folder, result, *others):
            super().run(folder, result, *others)
            body = json.loads((result / "result.json").read_text())
            number = len(self.jobs)
            body["candidates"]["0/a"]["energy"] = {"meter": "a meter", "joules": float(number), "calls": 500}
            body["candidates"]["0/a"]["sustained_energy"] = {"meter": "a meter", "joules": 9.0, "calls": 1000 * number}
            (result / "result.json").write_text(json.dumps(body))

    measured = sample(Metered(), [MeasureSet("one", {"a": candidate()})], Plan(processes=3), lambda *said: None)
    assert energy(measured.sets[0]["a"]) == Energy(4.0, 2.0, 6.0, 9.0, "a meter")
    assert energy(run([MeasureSet("one", {"a": candidate()})])[1].sets[0]["a"]) is None


def test_what_fails_is_a_reason_in_its_place(candidate):
    sets = [MeasureSet("one", {"good": candidate(), "bad": candidate()}), MeasureSet("absent", {"a": candidate()})]
    _, measured, _ = run(sets)
    assert isinstance(measured.sets[0]["good"], Samples)
    assert measured.sets[0]["bad"] == Failure("broken")
    assert measured.sets[1] == {"a": Failure("absent is not installed")}


def test_what_a_runtime_cannot_do_by_its_nature_is_no_failure(candidate):
    judging = ToJudge({"net": candidate().files}, Classification("net"), {"x": np.ones((4, 2))})
    sets = [MeasureSet("one", {"a": replace(candidate(), judging=judging)})]
    said = {"error": "no linear layer", "unsupported": True}
    lies = {"candidates": {"0/a": said}, "judged": {"0/a": said}, "sets": [{"rounds": [{}]}]}
    measured = sample(Pretend(**lies), sets, Plan(processes=1), lambda *said: None)
    assert measured.sets[0]["a"] == measured.judged[0]["a"] == Failure("no linear layer", unsupported=True)


def test_what_an_accelerator_told_comes_back(candidate):
    timed = {"load_ns": 1, "first_ns": 2, "peak_bytes": 3, "outputs": "outputs.npz", "steady_ns": [7]}
    told = {**timed, "device_bytes": 4096, "curve": {"calls": {"1": [5, 6], "2": [8]}, "ended": "out of memory"}}
    lies = {"candidates": {"0/a": told}, "sets": [{"rounds": [{"0/a": 7}]}]}
    plan = Plan(processes=2, sampling=replace(Plan().sampling, batches=(1, 2)))
    device = Pretend(**lies)
    found = sample(device, [MeasureSet("one", {"a": candidate()})], plan, lambda *said: None).sets[0]["a"]
    assert isinstance(found, Samples)
    assert ({size: calls.tolist() for size, calls in found.batches.items()}, found.batches_ended) == (
        {1: [5, 6], 2: [8]},
        "out of memory",
    )
    assert found.device_bytes.tolist() == [4096, 4096]
    assert [job.protocol.batches for job in device.jobs] == [(1, 2), ()], "one process is enough"


def test_progress_rises_over_all_processes_of_all_runtimes(candidate):
    _, _, heard = run([MeasureSet("one", {"a": candidate()}), MeasureSet("two", {"a": candidate()})], Plan(processes=2))
    assert [(done, total) for done, total, _ in heard] == [(0.5, 4), (1.5, 4), (2.5, 4), (3.5, 4)]
    assert heard[1][2] == "one, process 2"


def test_a_job_folder_is_gone_afterwards(candidate, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run([MeasureSet("one", {"a": candidate()})])
    assert not list(tmp_path.glob("edgepress-*"))


def test_what_is_to_be_judged_is_judged_once_and_its_evidence_has_a_row_a_sample(candidate):
    judging = ToJudge({"classifier": (candidate().files[0],)}, Classification("classifier"), {"x": np.ones((4, 2))})
    sets = [MeasureSet("one", {name: replace(candidate(), judging=judging) for name in ("a", "bad")})]
    device, measured, _ = run(sets, Plan(processes=2))
    assert [set(job.judgings) for job in device.jobs] == [{"0/a", "0/bad"}, set()]
    assert measured.judged[0]["a"]["correct"].tolist() == [True] * 4
    assert measured.judged[0]["bad"] == Failure("broken")
    assert measured.outputs[0]["a"]["y"].tolist() == [1, 1, 1]
    short = replace(judging, samples={"x": np.ones((3, 2))})
    _, measured, _ = run([MeasureSet("one", {"a": replace(candidate(), judging=short)})], Plan(processes=1))
    assert measured.judged[0]["a"] == Failure("the device's evidence has correct (4,), expected 3 rows")


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({"schema": "edgepress.samples/1"}, "schema: Input should be 'edgepress.samples/2'"),
        ({"candidates": {}}, "candidates: found none, expected 0/a"),
        ({"candidates": {"0/a": {"error": "x"}, "0/b": {"error": "x"}}}, "candidates: found 0/a, 0/b, expected 0/a"),
        ({"candidates": {"0/a": {"load_ns": -1}}}, "load_ns: Input should be greater than or equal to 0"),
        ({"sets": [{"rounds": [{"0/a": "fast"}]}]}, "sets.0.rounds.0.0/a: Input should be a valid integer"),
        ({"sets": [{"rounds": [{}] * 5}]}, "sets: round 1 of set 1 has none, expected 0/a"),
        ({"sets": []}, "sets: found 0, expected 1"),
        ({"files": {}}, "files: 'outputs.npz' is not among them"),
        ({"files": {"../outputs.npz": [1, "0"], "outputs.npz": [1, "0"]}}, "files: '../outputs.npz' is no file name of a result"),
        ({"files": {"outputs.npz": [1, "0" * 64]}}, "files: outputs.npz does not match its size and sha256"),
        (
            {"candidates": {"0/a": {**TIMED, "energy": {"meter": "m", "joules": float("inf"), "calls": 1}}}},
            "energy.joules: Input should be a finite number",
        ),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_a_forged_result_is_not_believed(candidate, lies, words):
    measured = sample(Pretend(**lies), [MeasureSet("one", {"a": candidate()})], Plan(processes=1), lambda *said: None)
    (found,) = measured.sets[0].values()
    assert isinstance(found, Failure)
    assert words in found.reason
    assert "\n" not in found.reason


class Cut(Pretend):
    """A device whose result breaks off."""

    def run(self, folder, result, *others):
        super().run(folder, result, *others)
        path = result / "result.json"
        path.write_bytes(path.read_bytes()[:-40])


def test_a_truncated_result_is_not_believed(candidate):
    measured = sample(Cut(), [MeasureSet("one", {"a": candidate()})], Plan(processes=1), lambda *said: None)
    assert "Invalid JSON: EOF while parsing" in measured.sets[0]["a"].reason

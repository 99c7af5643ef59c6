import numpy as np
import pytest

from pipeline.measure import Failure, Samples
from targets._sampling import Candidate, MeasureSet, Plan, RunFailed, sample
from targets.device import job as jobs
from targets.transport.local import Local


class Pretend:
    """A device that answers at once: candidate "bad" fails there, a runtime "absent" does not exist."""

    def __init__(self):
        self.jobs = []

    def put(self, source, target):
        Local().put(source, target)

    def run(self, folder, threads, timeout, heard):
        job = jobs.read(folder)  # verified as a device would
        self.jobs.append(job)
        if job.runtime == "absent":
            raise RunFailed("absent is not installed")
        heard("a library's greeting")
        heard("progress 1 2")
        names = {name: int(name.split("/")[0]) * 1000 + job.seed for name in job.candidates}
        return {
            "candidates": {
                name: {"error": "broken"}
                if name.endswith("bad")
                else {"load_ns": 1, "first_ns": 2, "peak_bytes": 3, "steady_ns": [time] * 4}
                for name, time in names.items()
            },
            "sets": [{"rounds": [{name: names[name] for name in group if not name.endswith("bad")}] * 5} for group in job.sets],
        }


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
    np.testing.assert_array_equal(found.rounds[:, 0], [1000, 1001, 1002])  # set 1, seeds 0 1 2
    assert [block.tolist() for block in found.steady] == [[1000] * 4, [1001] * 4, [1002] * 4]
    assert found.load.tolist() == [1, 1, 1]


def test_files_that_differ_only_in_the_second_stay_apart_and_equal_ones_travel_once(candidate):
    sets = [MeasureSet("one", {"a": candidate(), "again": candidate(), "other": candidate(binary=b"other weights")})]
    device, _, _ = run(sets, Plan(processes=1))
    entries = device.jobs[0].candidates
    assert entries["0/a"] == entries["0/again"]
    assert entries["0/a"].files != entries["0/other"].files


def test_what_fails_is_a_reason_in_its_place(candidate):
    sets = [MeasureSet("one", {"good": candidate(), "bad": candidate()}), MeasureSet("absent", {"a": candidate()})]
    _, measured, _ = run(sets)
    assert isinstance(measured.sets[0]["good"], Samples)
    assert measured.sets[0]["bad"] == Failure("broken")
    assert measured.sets[1] == {"a": Failure("absent is not installed")}


def test_progress_rises_over_all_processes_of_all_runtimes(candidate):
    _, _, heard = run([MeasureSet("one", {"a": candidate()}), MeasureSet("two", {"a": candidate()})], Plan(processes=2))
    assert [(done, total) for done, total, _ in heard] == [(0.5, 4), (1.5, 4), (2.5, 4), (3.5, 4)]
    assert heard[1][2] == "one, process 2"


def test_a_job_folder_is_gone_afterwards(candidate, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run([MeasureSet("one", {"a": candidate()})])
    assert not list(tmp_path.glob("edgepress-*"))

import pytest

from targets.device import job


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd", ""])
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="leads out of the job's folder"):
        job.inside(tmp_path, name)


def test_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leads out"):
        job.inside(tmp_path / "job", "link/file")


def test_what_is_written_is_what_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    files = {"a": job.file_sha256(tmp_path / "a")}
    judging = job.Judging({"step": ("a",)}, {"class": "x", "fields": {}}, "a")
    entries = {"one": job.Entry(("a",), "a", handicap=0.05)}
    written = job.Job("onnxruntime", 1, 7, files, entries, (("one",),), job.Sampling(rounds=3), {"one": judging})
    written.write(tmp_path)
    assert job.read(tmp_path) == written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "job.json: "),
        ("[]", "job.json: "),
        ("{}", "job.json: KeyError: 'schema'"),
        ('{"schema": "edgepress.job/9"}', "its schema is 'edgepress.job/9', not edgepress.job/2"),
    ],
)
def test_a_job_of_another_shape_is_refused(tmp_path, text, words):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(ValueError) as error:
        job.read(tmp_path)
    assert words in str(error.value)


def test_one_call_a_turn_is_refused_since_the_first_is_dropped(tmp_path):
    job.Job("onnxruntime", 1, 0, {}, {}, (), job.Sampling(calls=1)).write(tmp_path)
    with pytest.raises(ValueError, match=r"calls must be at least 2 .*, found 1"):
        job.read(tmp_path)


def test_a_set_of_unknown_candidates_is_refused(tmp_path):
    job.Job("onnxruntime", 1, 0, {}, {}, (("ghost",),), job.Sampling()).write(tmp_path)
    with pytest.raises(ValueError, match="unknown candidates: ghost"):
        job.read(tmp_path)


def test_a_file_without_a_sha256_is_refused(tmp_path):
    job.Job("onnxruntime", 1, 0, {}, {"one": job.Entry(("a",), "b")}, (), job.Sampling()).write(tmp_path)
    with pytest.raises(ValueError, match="no sha256 is given for a, b"):
        job.read(tmp_path)

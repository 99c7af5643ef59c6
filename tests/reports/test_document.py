import dataclasses
import json
import typing
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from pipeline.errors import UserError
from reports import record as nouns
from reports.document import from_json, load, save, to_json
from reports.record import Report

SCHEMA = json.loads((Path(nouns.__file__).parent / "schema.json").read_text())
DEFINED = {
    "run": nouns.Run,
    "host": nouns.Host,
    "record": nouns.Record,
    "quality": nouns.Quality,
    "quality_delta": nouns.QualityDelta,
    "bytes": nouns.Bytes,
    "latency_ms": nouns.Latency,
    "latency_ratio": nouns.LatencyRatio,
    "energy_mj": nouns.Energy,
    "benchmark_model": nouns.BenchmarkModel,
    "instructions": nouns.Instructions,
    "parity": nouns.Parity,
    "predicted": nouns.Predicted,
    "anatomy": nouns.Anatomy,
    "kind": nouns.Kind,
    "layer": nouns.Layer,
}

numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-6, max_value=1e9)
maybe_positive = st.none() | positive
counts = st.none() | st.integers(0, 2**53)
ratios = st.builds(nouns.LatencyRatio, positive, positive, positive, st.sampled_from(typing.get_args(nouns.LatencyVerdict)))
deltas = st.builds(nouns.QualityDelta, numbers, numbers, numbers, st.sampled_from(typing.get_args(nouns.QualityVerdict)))
qualities = st.builds(
    nouns.Quality, st.text(), numbers, numbers, numbers, st.integers(1, 10**9), st.booleans(), st.none() | deltas
)
latencies = st.builds(
    nouns.Latency, *[maybe_positive] * 5, samples=st.integers(0, 10**6), threads=st.integers(1, 64), batch=st.integers(1, 64)
)
shares = st.none() | st.floats(0, 1)
kinds = st.builds(nouns.Kind, st.text(), st.integers(1, 99), *[st.integers(0, 2**53)] * 2, zeros=shares, time=shares)
layers = st.builds(
    nouns.Layer, st.text(), st.text(), st.integers(0, 2**53), zeros=shares, time=shares, weights=st.integers(0, 99)
)
anatomies = st.builds(
    nouns.Anatomy,
    *[st.integers(0, 2**53)] * 5,
    kinds=st.lists(kinds, max_size=2),
    layers=st.lists(layers, max_size=2),
    operators=st.integers(0, 10**6),
    operators_ms=maybe_positive,
    call_ms=maybe_positive,
    smallest_ms=maybe_positive,
    read_ms=maybe_positive,
    file=st.integers(0, 2**53),
)
records = st.builds(
    nouns.Record,
    *[st.text()] * 3,
    steps=st.lists(st.dictionaries(st.text(), st.none() | st.booleans() | numbers | st.text(), max_size=2), max_size=2),
    format=st.text(),
    runtime=st.text(),
    target=st.text(),
    provenance=st.sampled_from(["measured", "emulated", "estimated"]),
    status=st.sampled_from(["ok", "unsupported", "failed"]),
    reason=st.none() | st.text(),
    artifact_sha256=st.none() | st.text(),
    quality=st.none() | qualities,
    bytes=st.builds(nouns.Bytes, counts, counts, counts),
    latency_ms=st.none() | latencies,
    versus_baseline=st.none() | ratios,
    versus_self=st.none() | ratios,
    parity=st.none() | st.builds(nouns.Parity, positive, positive, st.booleans(), st.none() | numbers),
    predicted=st.none() | st.builds(nouns.Predicted, positive, positive, st.text()),
    anatomy=st.none() | anatomies,
)
hosts = st.builds(nouns.Host, st.text(), st.integers(1, 512), st.lists(st.text(), max_size=3), st.text())
runs = st.builds(
    nouns.Run,
    *[st.text()] * 4,
    host=hosts,
    versions=st.dictionaries(st.text(), st.text(), max_size=3),
    seed=st.integers(),
    command=st.text(),
    preset=st.text(),
)


@given(st.builds(Report, runs, st.lists(records, max_size=3)))
@settings(max_examples=60)
def test_any_report_survives_json(report):
    assert from_json(json.loads(json.dumps(to_json(report)))) == report


@pytest.mark.parametrize("name", DEFINED)
def test_the_schema_and_the_dataclasses_agree(name):
    fields = dataclasses.fields(DEFINED[name])
    needed = {f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING}
    assert set(SCHEMA["$defs"][name]["properties"]) == {f.name for f in fields}
    assert set(SCHEMA["$defs"][name]["required"]) == needed
    assert SCHEMA["$defs"][name]["additionalProperties"] is False


def test_save_and_load_from_file_and_from_folder(demo, tmp_path):
    save(demo, tmp_path / "run" / "report.json")
    assert load(tmp_path / "run") == load(tmp_path / "run" / "report.json") == demo
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["report.json"], "no temporary file stays behind"


def test_a_refused_report_leaves_the_old_file(demo, make_cell, make_report, tmp_path):
    save(demo, tmp_path / "report.json")
    with pytest.raises(UserError, match="status"):
        save(make_report(make_cell(status="fine")), tmp_path / "report.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(make_report(make_cell(predicted=nouns.Predicted(float("nan"), 1.0, "file"))), tmp_path / "report.json")
    assert load(tmp_path) == demo


def test_what_was_not_measured_is_null_never_zero(make_cell, make_report):
    raw = to_json(make_report(make_cell(bytes=nouns.Bytes(), latency_ms=None)))["records"][0]
    assert raw["bytes"] == dict.fromkeys(("file", "bundle", "peak_memory", "device_memory", "adapter"))
    assert raw["latency_ms"] is None


def broken(report, change) -> str:
    data = to_json(report)
    change(data)
    with pytest.raises(UserError) as caught:
        from_json(data, "old.json")
    line = str(caught.value)
    assert line.startswith("old.json: $") and "\n" not in line
    return line


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(schema="edgepress.report/9"), ["$.schema", "'edgepress.report/9'", "'edgepress.report/1'"]),
        (lambda d: d["records"][1].update(status="okay"), ["$.records[1].status", "'okay'", "ok, unsupported, failed"]),
        (lambda d: d["records"][0].update(runtme="x"), ["$.records[0]", "'runtme'", "did you mean 'runtime'"]),
        (lambda d: d["records"][0].pop("model"), ["$.records[0]", "no model", "required"]),
        (lambda d: d["records"][0]["bytes"].update(file="12 KB"), ["$.records[0].bytes.file", "'12 KB'", "integer or null"]),
        (lambda d: d["records"][0]["quality"].update(value=None), ["quality.value", "found null", "number"]),
        (lambda d: d["records"][0]["bytes"].update(file=-1), ["bytes.file", "-1", "minimum 0"]),
        (lambda d: d.update(records=None), ["$.records", "null", "array"]),
    ],
)
def test_a_bad_report_is_one_line_with_the_place_the_found_and_the_allowed(demo, change, says):
    line = broken(demo, change)
    assert all(word in line for word in says), line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"schema": "edgepress.report/1", "run": {', "ends in the middle"),
        (b"", "ends in the middle"),
        (b"model,variant\n", "not JSON"),
        (b"\xff\xfe\x00", "no text"),
        (b'{"schema": NaN}', "found NaN"),
        (b"[]", "found a list"),
    ],
)
def test_a_file_that_is_no_report_is_one_line(tmp_path, content, says):
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        load(tmp_path)
    assert str(tmp_path / "report.json") in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_empty_folder_name_the_file_looked_for(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(UserError, match="no such file"):
            load(path)

import dataclasses
import xml.etree.ElementTree as ET

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pipeline.errors import UserError
from reports import chart
from reports.record import Bytes

finite = st.floats(-1e6, 1e6)
points_lists = st.lists(st.tuples(finite, finite) | st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30)


def beats(a, b):
    return a[0] <= b[0] and a[1] >= b[1] and a != b


@given(points_lists)
def test_the_front_is_exactly_what_nothing_beats(points):
    unbeaten = {i for i, p in enumerate(points) if not any(beats(q, p) for q in points)}
    assert set(chart.pareto(points)) == unbeaten


@given(points_lists)
def test_the_front_runs_from_cheap_to_dear_and_only_gains(points):
    front = [points[i] for i in chart.pareto(points)]
    assert front == sorted(front)
    assert len(set(chart.pareto(points))) == len(front)


def test_one_panel_for_each_model_and_only_cells_with_a_quality(demo):
    found = chart.panels(demo)
    assert [panel.model for panel in found] == ["lenet5", "gru_classifier", "vae"]
    assert all(demo.records[i].status == "ok" for panel in found for i in panel.rows)


def test_lower_is_better_turns_the_front_around(demo):
    vae = chart.panels(demo)[2]
    rows = chart._rows(demo, vae, "bytes")
    front = sorted((row["x"], row["y"]) for row in rows if row.get("front"))
    assert [y for _, y in front] == sorted((y for _, y in front), reverse=True), "dearer must be lower, which is better"


def test_a_collapsed_variant_does_not_flatten_the_others(make_cell, make_report):
    fine = [make_cell(variant=f"v{i}", bytes=Bytes(10_000 * (i + 1))) for i in range(6)]
    fine = [dataclasses.replace(c, quality=dataclasses.replace(c.quality, value=0.98 - i * 0.002)) for i, c in enumerate(fine)]
    lost = make_cell(variant="binary", bytes=Bytes(4_000))
    lost = dataclasses.replace(lost, quality=dataclasses.replace(lost.quality, value=0.1, low=0.08, high=0.12))
    report = make_report(*fine, lost)
    rows = chart._rows(report, chart.panels(report)[0], "bytes")
    assert rows[-1]["pinned"] and "far off the scale" in rows[-1]["about"] and "10.0 %" in rows[-1]["about"]
    assert min(row["y"] for row in rows) > 80, "eight half intervals below the best"


def test_two_names_in_one_place_are_one(make_cell, make_report):
    def names(*sizes):
        cells = [make_cell(variant=name, bytes=Bytes(size)) for name, size in zip("abc", sizes, strict=True)]
        values = (0.9, 0.97, 0.971)
        cells = [
            dataclasses.replace(c, quality=dataclasses.replace(c.quality, value=v)) for c, v in zip(cells, values, strict=True)
        ]
        report = make_report(*cells)
        return [row["names"] for row in chart._rows(report, chart.panels(report)[0], "bytes") if "names" in row]

    assert names(1_000, 5_000, 5_050) == ["a", "b, c"]
    assert names(1_000, 5_000, 9_000) == ["a", "b", "c"]


def test_a_point_is_not_far_off_because_most_others_are_as_good_as_the_best(make_cell, make_report):
    cells = []
    for name, value in zip("abcd", (0.858, 0.8582, 0.8577, 0.843), strict=True):
        one = make_cell(variant=name)
        bounds = {"low": value - 0.007, "high": value + 0.007}
        cells.append(dataclasses.replace(one, quality=dataclasses.replace(one.quality, value=value, **bounds)))
    report = make_report(*cells)
    *_, last = chart._rows(report, chart.panels(report)[0], "bytes")
    assert last["y"] == pytest.approx(84.3) and "pinned" not in last


@pytest.mark.parametrize("cost", ["bytes", "latency"])
def test_the_readme_picture_is_written_as_svg_and_png(demo, tmp_path, cost):
    chart.write(demo, tmp_path / "out" / "chart.svg", cost)
    chart.write(demo, tmp_path / "out" / "chart.png", cost)
    text = "".join(ET.parse(tmp_path / "out" / "chart.svg").getroot().itertext())
    assert all(word in text for word in ("lenet5", "vae", "litert", "distilled", "Pareto front"))
    assert (tmp_path / "out" / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_refusals_are_one_line(demo, make_cell, make_report, tmp_path):
    with pytest.raises(UserError, match=r"allowed: \.svg, \.png"):
        chart.write(demo, tmp_path / "chart.pdf")
    with pytest.raises(UserError, match=r"no record of run .* has both a quality and a bytes figure"):
        chart.write(make_report(make_cell(bytes=Bytes())), tmp_path / "chart.svg")

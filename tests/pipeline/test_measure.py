import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.measure import MARGIN, Samples, latency, paired_ratio, peak_memory, percentile, verdict

TIMES = arrays(np.float64, (3, 8), elements=st.floats(1e3, 1e9))
RATIOS = st.floats(0.25, 4.0)


def samples(rounds, steady=()):
    one = np.array([1_000_000, 3_000_000, 2_000_000])
    return Samples(np.asarray(rounds), tuple(map(np.asarray, steady)), load=one, first=one * 2, peak_bytes=one)


@settings(max_examples=25)
@given(TIMES, TIMES, st.floats(1e-3, 1e3))
def test_a_clock_in_other_units_changes_nothing(candidate, baseline, scale):
    plain, scaled = paired_ratio(candidate, baseline), paired_ratio(candidate * scale, baseline * scale)
    # Two logarithms of numbers up to 1e12 are subtracted: about 30 * 2^-52 of rounding.
    assert (scaled.ratio, scaled.low, scaled.high) == pytest.approx((plain.ratio, plain.low, plain.high), rel=1e-12)


@settings(max_examples=25)
@given(TIMES, TIMES)
def test_swapping_the_two_inverts_the_ratio_and_its_interval(candidate, baseline):
    there, back = paired_ratio(candidate, baseline), paired_ratio(baseline, candidate)
    assert (back.ratio, back.low, back.high) == pytest.approx((1 / there.ratio, 1 / there.high, 1 / there.low), rel=1e-9)


@given(RATIOS, RATIOS, RATIOS)
def test_swapping_the_two_mirrors_the_verdict(a, b, c):
    low, ratio, high = sorted((a, b, c))
    borders = (1, 1 + MARGIN, 1 / (1 + MARGIN))
    assume(all(abs(value / border - 1) > 1e-9 for value in (a, b, c) for border in borders))  # 1 / x rounds
    there = verdict(ratio, low, high)
    assert verdict(1 / ratio, 1 / high, 1 / low) == {"faster": "slower", "slower": "faster"}.get(there, there)


@pytest.mark.parametrize(
    ("ratio", "low", "high", "expected"),
    [
        (1.10, 1.05, 1.15, "slower"),
        (0.90, 0.85, 0.95, "faster"),
        (1.00, 0.98, 1.02, "equivalent"),
        (1.02, 1.01, 1.029, "equivalent"),  # surely slower, by too little to matter
        (1.02, 1.01, 1.05, "inconclusive"),
        (1.10, 0.99, 1.20, "inconclusive"),
        (1.00, 0.90, 1.10, "inconclusive"),
        (0.98, 0.95, 0.99, "inconclusive"),
    ],
)
def test_verdict_rules(ratio, low, high, expected):
    assert verdict(ratio, low, high) == expected


def test_the_ratio_survives_speed_regimes_and_outliers_that_medians_do_not():
    generator = np.random.default_rng(0)
    regime = np.where(generator.random((3, 40)) < 0.5, 80_000, 150_000)
    baseline = regime * generator.normal(1, 0.005, (3, 40))
    candidate = regime * generator.normal(1.1, 0.005, (3, 40))
    candidate[:, ::10] *= 20
    found = paired_ratio(candidate, baseline)
    assert found.verdict == "slower"
    assert found.low < 1.1 < found.high
    assert found.high - found.low < 0.02  # the noise within a round is 0.7 %, over 120 rounds


def test_the_same_samples_and_seed_give_the_same_interval():
    times = np.random.default_rng(1).uniform(1e5, 2e5, (2, 3, 40))
    assert paired_ratio(*times, seed=7) == paired_ratio(*times, seed=7)


def test_a_disagreement_between_processes_widens_the_interval():
    baseline = np.full((3, 40), 1e5)
    candidate = baseline * np.array([[1.0], [1.0], [1.2]])
    assert paired_ratio(candidate, baseline).verdict == "inconclusive"


def test_times_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"found \(3, 40\) and \(3, 39\)"):
        paired_ratio(np.ones((3, 40)), np.ones((3, 39)))


@pytest.mark.parametrize(("q", "needed"), [(50, 20), (90, 100), (99, 1000), (99.9, 10_000)])
def test_no_percentile_without_ten_samples_beyond_it(q, needed):
    assert percentile(np.arange(needed - 1), q) is None
    assert percentile(np.arange(needed), q) == pytest.approx((needed - 1) * q / 100)


def test_latency_pools_the_processes_and_counts_in_milliseconds():
    found = latency(samples(np.ones((3, 4)), steady=[np.full(400, 2_000_000)] * 3), threads=1)
    assert (found.load, found.first, found.p50, found.p90, found.p99, found.samples) == (2.0, 4.0, 2.0, 2.0, 2.0, 1200)


def test_what_was_not_measured_is_none():
    found = latency(samples(np.ones((3, 4)), steady=[np.full(6, 2_000_000)] * 3), threads=1)
    assert (found.p50, found.p90, found.p99, found.samples) == (None, None, None, 18)


def test_peak_memory_is_the_median_process():
    assert peak_memory(samples(np.ones((3, 4)))) == 2_000_000

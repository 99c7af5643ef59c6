"""Meters that the test makes: a powercap tree, and a vcgencmd of its own."""

import time

import pytest

from targets.device import power

ADC = """     3V3_SYS_A current(1)=0.5A
     VDD_CORE_A current(7)=2.00000000A
     3V3_SYS_V volt(9)=3.3V
     VDD_CORE_V volt(15)=0.75000000V
     EXT5V_V volt(24)=5.13160200V
     BATT_V volt(25)=0.00488280V
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose meters are these and no others."""
    monkeypatch.setattr(power, "ZONES", tmp_path / "powercap")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")

    def zone(place, name, microjoules, most=262_143_328_850):
        folder = tmp_path / "powercap" / place
        folder.mkdir(parents=True, exist_ok=True)
        for file, value in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", most)):
            (folder / file).write_text(f"{value}\n")
        return folder

    def vcgencmd(text):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / "vcgencmd").write_text(
            f'#!/bin/sh\n[ "$1" = pmic_read_adc ] || exit 1\nwhile read -r line; do echo "$line"; done <<EOT\n{text}\nEOT\n'
        )
        (tmp_path / "bin" / "vcgencmd").chmod(0o755)

    zone.vcgencmd = vcgencmd
    return zone


def counting(*moves):
    """Work of ten calls, while which counters move."""

    def work():
        for folder, microjoules in moves:
            (folder / "energy_uj").write_text(f"{microjoules}\n")
        return [1] * 10

    return work


def test_no_meter_is_none(machine):
    assert power.find() is None
    machine.vcgencmd('error=1 error_msg="Command not registered"')  # a Pi 4
    assert power.find() is None


def test_packages_are_added_up_and_nothing_else(machine):
    first, second = machine("intel-rapl:0", "package-0", 1_000_000), machine("intel-rapl:1", "package-1", 5_000_000)
    core, psys = machine("intel-rapl:0:0", "core", 100), machine("intel-rapl:2", "psys", 100)
    again = machine("intel-rapl-mmio:0", "package-0", 100)
    tally = power.Tally(power.find())
    moves = [(first, 3_000_000), (second, 5_500_000), *((each, 10**9) for each in (core, psys, again))]
    assert tally.around(counting(*moves)) == [1] * 10
    assert tally.as_json() == {"meter": "RAPL (processor packages)", "joules": 2.5, "calls": 10}


def test_a_counter_that_begins_anew_is_followed(machine):
    zone = machine("intel-rapl:0", "package-0", 65_532_000_000, most=65_532_610_987)
    tally = power.Tally(power.find())
    tally.around(counting((zone, 1_389_013)))
    assert tally.joules == pytest.approx(2.0)


def test_blocks_add_up_and_one_that_cannot_be_read_counts_neither_energy_nor_calls(machine):
    zone = machine("intel-rapl:0", "package-0", 0)
    tally = power.Tally(power.find())
    for microjoules in (1_000_000, "what", 2_000_000, 5_000_000):
        tally.around(counting((zone, microjoules)))
    assert (tally.joules, tally.calls) == (4.0, 20)
    assert power.Tally(power.find()).as_json() is None


def test_a_counter_that_cannot_be_read_is_no_meter(machine):
    counter = machine("intel-rapl:0", "package-0", 0) / "energy_uj"
    counter.unlink()
    counter.mkdir()  # refuses every reader, root too
    assert power.find() is None


def test_a_counter_without_a_number_is_no_meter(machine):
    machine("intel-rapl:0", "package-0", "")
    assert power.find() is None


def test_the_rails_of_a_pi_are_looked_at_while_calls_run(machine, monkeypatch):
    machine.vcgencmd(ADC)
    monkeypatch.setattr(power, "PERIOD_SECONDS", 0.01)
    tally = power.Tally(power.find())
    start = time.monotonic()
    tally.around(lambda: time.sleep(0.5) or [1] * 4)
    assert tally.meter.name == "PMIC (the board's rails)"
    # 3.15 W: 0.5 A at 3.3 V and 2 A at 0.75 V; the supply's volts alone are no watts.
    assert 3.15 * 0.5 <= tally.joules <= 3.15 * (time.monotonic() - start)
    assert tally.calls == 4


def test_a_block_too_short_for_the_meter_has_no_energy(machine):
    machine.vcgencmd(ADC)
    tally = power.Tally(power.find())
    tally.around(lambda: [1])
    assert tally.as_json() is None


def test_work_that_fails_leaves_no_thread_behind(machine):
    machine.vcgencmd(ADC)
    meter = power.find()
    before = power.threading.active_count()
    with pytest.raises(ZeroDivisionError):
        meter.during(lambda: 1 // 0)
    assert power.threading.active_count() == before

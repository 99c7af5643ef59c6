import os

import pytest

from targets.device import host

PI_4 = "processor : 0\nFeatures : fp asimd crc32 cpuid\nCPU part : 0xd08\n\nModel : Raspberry Pi 4 Model B Rev 1.4\n"
XEON = "processor : 0\nmodel name : Intel(R) Xeon(R)\nflags : fpu sse2 avx2 avx512f avx512_vnni amx_int8\n\nprocessor : 1\n"


@pytest.mark.parametrize(
    ("text", "cpu", "features"),
    [
        (PI_4, "Cortex-A72 (Raspberry Pi 4 Model B Rev 1.4)", ["neon"]),
        (XEON, "Intel(R) Xeon(R)", ["amx_int8", "avx2", "avx512_vnni"]),
        ("Features : asimd asimddp i8mm\nCPU part : 0xfff\n", None, ["dotprod", "i8mm", "neon"]),
        ("", None, []),
    ],
)
def test_cpuinfo(text, cpu, features):
    assert host.parse_cpuinfo(text) == (cpu, features)


def test_this_host_has_a_name_and_cores():
    found = host.facts()
    assert found["cpu"]
    assert found["os"]
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A machine whose files are these and no others."""
    for name in ("CORES", "THERMAL", "FIRMWARE"):
        monkeypatch.setattr(host, name, tmp_path / name.lower())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_what_cannot_be_read_is_none(board):
    found = host.state()
    assert (found["governor"], found["mhz"], found["celsius"], found["throttled"]) == (None, [], None, None)


def test_the_clocks_are_in_megahertz_and_in_the_cores_order(board):
    board("cores/cpu0/cpufreq/scaling_governor", "performance\n")
    for core, kilohertz in ((0, 1800000), (2, 600000), (10, 1500000)):
        board(f"cores/cpu{core}/cpufreq/scaling_cur_freq", f"{kilohertz}\n")
    assert (host.state()["governor"], host.state()["mhz"]) == ("performance", [1800, 600, 1500])


def test_the_hottest_sensor_counts_and_what_is_no_thermometer_does_not(board):
    for number, text in enumerate(("48312", "71500", "-273000", "0", "what", "4000000")):
        board(f"thermal/thermal_zone{number}/temp", f"{text}\n")
    assert host.state()["celsius"] == 71.5


def test_the_firmware_is_asked_where_the_kernel_says_nothing(board):
    board("bin/vcgencmd", "#!/bin/sh\necho throttled=0x4\n").chmod(0o755)
    assert host.state()["throttled"] == ["throttled now"]
    board("firmware", "0\n")
    assert host.state()["throttled"] == []

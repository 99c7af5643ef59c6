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


def test_what_cannot_be_read_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "FREQUENCY", tmp_path)
    assert (host.state()["governor"], host.state()["mhz"]) == (None, None)


def test_the_clock_is_in_megahertz(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "FREQUENCY", tmp_path)
    (tmp_path / "scaling_governor").write_text("performance\n")
    (tmp_path / "scaling_cur_freq").write_text("1800000\n")
    assert (host.state()["governor"], host.state()["mhz"]) == ("performance", 1800)

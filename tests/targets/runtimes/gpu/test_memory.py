import pytest
import torch

from targets.runtimes.gpu._memory import Growth


@pytest.mark.parametrize(("free_after", "grown"), [(60, 20), (80, None), (95, None)])
def test_it_is_what_more_is_in_use(monkeypatch, free_after, grown):
    free = [80]
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free[0], 100))
    growth = Growth("cuda")
    free[0] = free_after
    assert growth.bytes() == grown


def test_the_cpu_has_no_memory_of_its_own():
    assert Growth("cpu").bytes() is None

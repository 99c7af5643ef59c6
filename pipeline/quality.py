"""Evidence -> what the report says of quality: the metric, its doubt, and what the compression did to it."""

from __future__ import annotations

from pipeline.core import Arrays, Task
from reports.record import Quality, QualityDelta, QualityVerdict


def quality(task: Task, evidence: Arrays) -> Quality:
    """The metric with its interval."""
    low, high = task.interval(evidence)
    n = len(next(iter(evidence.values())))
    details = list(task.details(evidence))
    return Quality(task.metric, task.value(evidence), low, high, n, task.higher_is_better, details=details, calls=task.calls)


def versus_reference(task: Task, evidence: Arrays, reference: Arrays) -> QualityDelta:
    """What the compression did to the metric; negative is worse."""
    delta, low, high = task.difference(evidence, reference)
    return QualityDelta(delta, low, high, _verdict(low, high, task.margin))


def _verdict(low: float, high: float, margin: float) -> QualityVerdict:
    if high < 0:
        return "worse"
    if low > 0:
        return "better"
    return "equivalent" if -margin <= low and high <= margin else "inconclusive"

"""What came back from a device, believed only as far as it can be checked: a file from outside may be cut, forged or huge."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.core import Arrays, Json
from pipeline.measure import Failure
from targets.device.benchmark_model import MOST
from targets.device.job import RESULT, file_sha256

MOST_BYTES = 1 << 30
"""Of a result.json, and of all arrays of one file once they are unpacked."""

Nanoseconds = Annotated[int, Ge(0)]
Bytes = Annotated[int, Gt(0)]


class RunFailed(Exception):
    """A run that gave no result: refused, crashed, killed, unreachable, or not to be believed; one line."""


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Failed(_Checked):
    error: str
    unsupported: bool = False


class _Curve(_Checked):
    calls: dict[Annotated[int, Gt(0)], list[Annotated[int, Gt(0)]]]
    ended: str


class _Energy(_Checked):
    meter: Annotated[str, Field(min_length=1, max_length=80)]
    joules: Annotated[float, Gt(0), Field(allow_inf_nan=False)]
    calls: Annotated[int, Gt(0)]


class _Ran(_Checked):
    ended: Annotated[str, Field(max_length=200)]
    output: Annotated[str, Field(max_length=MOST)]


class _Timed(_Checked):
    load_ns: Nanoseconds
    first_ns: Nanoseconds
    peak_bytes: Bytes
    outputs: str
    steady_ns: list[Annotated[int, Gt(0)]]
    sustained_ns: list[Annotated[int, Gt(0)]] = []
    instructions: list[Annotated[int, Gt(0)]] = []
    energy: _Energy | None = None
    sustained_energy: _Energy | None = None
    benchmark_model: _Ran | None = None
    device_bytes: Bytes | None = None
    curve: _Curve | None = None


class _Judged(_Checked):
    evidence: str


class _Set(_Checked):
    rounds: list[dict[str, Annotated[int, Gt(0)]]]


class _Told(BaseModel):
    """What a device says of itself: what a report shows is checked, the rest is kept as it came."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Host(_Told):
    cpu: str | None
    cores: Annotated[int, Gt(0)]
    features: list[str]
    os: str


class _State(_Told):
    governor: str | None
    mhz: list[float]
    load: float | None
    celsius: float | None
    throttled: list[str] | None
    notes: list[str] = []


class _Environment(_Told):
    host: _Host
    state_before: _State
    state_after: _State
    package: str
    version: str


class _Body(_Checked):
    schema_: Literal["edgepress.samples/2"] = Field(alias="schema")
    environment: _Environment
    judged: dict[str, _Judged | _Failed]
    candidates: dict[str, _Timed | _Failed]
    sets: list[_Set]
    files: dict[str, tuple[Bytes, str]]


@dataclass(frozen=True)
class Result:
    """A checked result and its arrays."""

    body: Json
    """As the runner wrote it."""
    arrays: Mapping[str, Arrays]
    """By file."""

    def outputs(self, identity: str) -> Arrays | None:
        """What a candidate answered to its sample; None when it failed."""
        name = self.body["candidates"][identity].get("outputs")
        return None if name is None else self.arrays[name]

    def evidence(self, identity: str, rows: int) -> Arrays | Failure:
        """A judged candidate's evidence, which must have a row a sample."""
        found = self.arrays[self.body["judged"][identity]["evidence"]]
        if not found or {len(array) if array.ndim else 0 for array in found.values()} != {rows}:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in found.items()) or "nothing"
            return Failure(f"the device's evidence has {shapes}, expected {rows} rows")
        return found


def read_result(folder: Path, candidates: Collection[str], judged: Collection[str], sets: Sequence[Collection[str]]) -> Result:
    """The result of a job that has these candidates. RunFailed in one line for one that cannot be believed."""
    try:
        path = folder / RESULT
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has {path.stat().st_size} bytes, expected at most {MOST_BYTES}")
        text = path.read_text()
        checked = _Body.model_validate_json(text)
        body: Json = json.loads(text)
        for what, wanted in (("candidates", candidates), ("judged", judged)):
            if set(body[what]) != set(wanted):
                raise ValueError(f"{what}: found {_names(body[what])}, expected {_names(wanted)}")
        if len(sets) != len(checked.sets):
            raise ValueError(f"sets: found {len(checked.sets)}, expected {len(sets)}")
        for number, (found, names) in enumerate(zip(checked.sets, sets, strict=True), 1):
            left = {name for name in names if isinstance(checked.candidates[name], _Timed)}
            for place, each in enumerate(found.rounds, 1):
                if each.keys() != left:
                    raise ValueError(f"sets: round {place} of set {number} has {_names(each)}, expected {_names(left)}")
        named = {each.outputs for each in checked.candidates.values() if isinstance(each, _Timed)}
        named |= {each.evidence for each in checked.judged.values() if isinstance(each, _Judged)}
        if missing := named - checked.files.keys():
            raise ValueError(f"files: {sorted(missing)[0]!r} is not among them")
        return Result(body, {name: _arrays(folder, name, *known) for name, known in checked.files.items()})
    except ValidationError as error:
        first = error.errors()[0]
        raise RunFailed(f"the device's {RESULT}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise RunFailed(f"the device's {RESULT}: {' '.join(str(error).split())}") from error


def _names(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _arrays(folder: Path, name: str, size: int, digest: str) -> Arrays:
    if not name.endswith(".npz") or Path(name).name != name or name.startswith("."):
        raise ValueError(f"files: {name!r} is no file name of a result")
    path = folder / name
    if path.is_symlink() or path.stat().st_size != size or file_sha256(path) != digest:
        raise ValueError(f"files: {name} does not match its size and sha256")
    with zipfile.ZipFile(path) as archive:
        if (whole := sum(member.file_size for member in archive.infolist())) > MOST_BYTES:
            raise ValueError(f"files: {name} would unpack to {whole} bytes, expected at most {MOST_BYTES}")
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}

"""TOML -> a recipe that was checked whole, before any work: unknown names, wrong types, impossible orders, doubles."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le, Len

from pipeline.core import DataSource, Family, Json, Spec, Technique, Train
from pipeline.errors import UserError, unknown
from pipeline.options import build, values
from pipeline.registry import ROOT, find, names

REFERENCE = "reference"
PRESETS = ("quick", "full")
ROLES = {"model": Family, "data": DataSource, "technique": Technique}
MOST_SEEDS = 100
PLAIN = re.compile(r"\w[\w .+=-]*")
"""What names may hold: they become folders, and rows of a table."""
RECIPES = ROOT / "pipeline" / "recipes"


@dataclass(frozen=True)
class ModelEntry:
    """A model of the recipe: its name in the report, its family and how it is trained."""

    label: str
    family: Spec
    train: Train
    seeds: int = 1
    """How many times the reference is trained, from the recipe's seed upwards; the report gives their mean and deviation."""
    pretrained: Spec | None = None
    """The data that the reference is trained on instead of the recipe's; all else uses the recipe's."""


@dataclass(frozen=True)
class Variant:
    """A chain of techniques, applied to the models named (all when None)."""

    name: str
    steps: tuple[Spec, ...]
    models: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Recipe:
    """What a run does."""

    path: Path
    sha256: str
    name: str
    data: Spec
    models: tuple[ModelEntry, ...]
    variants: tuple[Variant, ...]
    formats: tuple[str, ...]
    preset: str
    seed: int
    threads: int


@dataclass(frozen=True)
class _File:
    """The top level of a recipe file."""

    data: str | dict[str, Any]
    name: str = ""
    model: str | None = None
    models: tuple[dict[str, Any], ...] = ()
    variants: tuple[dict[str, Any], ...] = ()
    formats: Annotated[tuple[str, ...], Len(1)] = ("onnx", "tflite", "openvino")
    preset: str = "full"
    train: dict[str, Any] = field(default_factory=dict)
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    threads: Annotated[int, Ge(1)] = 1


@dataclass(frozen=True)
class _Variant:
    name: Annotated[str, Len(1)]
    steps: Annotated[tuple[dict[str, Any], ...], Len(1)]
    models: tuple[str, ...] | None = None


def read(path: Path, preset: str | None = None) -> Recipe:
    """Reads and checks a recipe; every mistake is a UserError of one line."""
    try:
        text = path.read_bytes()
        body = tomllib.loads(text.decode())
    except FileNotFoundError:
        ready = ", ".join(str(recipe.relative_to(ROOT)) for recipe in sorted(RECIPES.glob("*.toml")))
        raise UserError(f"recipe {path} does not exist (ready ones: {ready})") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"recipe {path} is not a TOML file: {error}") from None
    where = path.name
    top = build(_File, body, where)
    chosen = preset or top.preset
    if chosen not in PRESETS:
        raise unknown("preset", chosen, PRESETS, where)
    entries = _models(top, chosen, path.parent, where)
    return Recipe(
        path=path,
        sha256=hashlib.sha256(text).hexdigest(),
        name=_plain(top.name, where) if top.name else re.sub(r"[^\w.+=-]", "-", path.stem),
        data=_data(top.data, path.parent, f"{where}: data"),
        models=entries,
        variants=_variants(top, entries, path.parent, where),
        formats=_formats(top.formats, where),
        preset=chosen,
        seed=top.seed,
        threads=top.threads,
    )


def _data(given: Any, folder: Path, where: str) -> Spec:
    """`"mnist"` or `{ data = "mnist", validation = 1000 }`."""
    if not isinstance(given, (str, dict)):
        raise UserError(f"{where}: expected the name of a data set or a table with `data` and its options, found {given!r}")
    return _spec("data", {"data": given} if isinstance(given, str) else given, folder, where)


def _spec(kind: str, table: Json, folder: Path, where: str) -> Spec:
    """`{ technique = "distill", temperature = 4 }` -> a checked spec with all defaults filled in."""
    options = dict(table)
    name = options.pop(kind, None)
    if not isinstance(name, str):
        near = [key for key in options if key in ("model", "data", "technique", "format")]
        found = f"found {near[0]!r}" if near else f"found {sorted(options) or 'nothing'}"
        raise UserError(
            f"{where}: the key {kind!r} with a name is missing ({found}; allowed: {', '.join(names(kind))} or a .py file)"
        )
    if name.endswith(".py"):
        beside = folder / name
        name = str((beside if beside.is_file() else Path(name)).resolve())
    _refuse_incomplete(kind, find(kind, name, where), name, where)
    spec = Spec(kind, name, options)
    return replace(spec, options=values(spec.build(where)))


def _refuse_incomplete(kind: str, cls: type[Any], name: str, where: str) -> None:
    """A user's own class must have every part that its role needs, before anything is run with it."""
    role = ROLES[kind]
    if kind in ("model", "technique") and not issubclass(cls, role):
        raise UserError(f"{where}: {kind} {name!r}: its class {cls.__name__} must inherit pipeline.core.{role.__name__}")
    needed = [part for part, value in vars(role).items() if callable(value) and not part.startswith("_")]
    lacking = [part for part in needed if not callable(getattr(cls, part, None))]
    lacking += sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise UserError(f"{where}: {kind} {name!r}: its class {cls.__name__} lacks {', '.join(lacking)}")


def _plain(name: str, where: str) -> str:
    if not PLAIN.fullmatch(name):
        raise UserError(f"{where}: the name {name!r} must begin with a letter or digit and hold only these, spaces and . + = _ -")
    return name


def _models(top: _File, preset: str, folder: Path, where: str) -> tuple[ModelEntry, ...]:
    if (top.model is None) == (not top.models):
        raise UserError(f"{where}: give either `model` (one name) or `models` (a list of tables), not both or neither")
    tables = top.models or ({"model": top.model},)
    entries: list[ModelEntry] = []
    for index, table in enumerate(tables):
        place = f"{where}: models[{index}]"
        options = dict(table)
        label, train, seeds = options.pop("name", None), options.pop("train", {}), options.pop("seeds", 1)
        pretrained = _data(options.pop("pretrained"), folder, f"{place}.pretrained") if "pretrained" in options else None
        family = _spec("model", options, folder, place)
        label = _plain(str(label or Path(family.name).stem), place)
        if label in (entry.label for entry in entries):
            raise UserError(f"{place}: the model name {label!r} is used twice; give one of them another `name`")
        presets = getattr(type(family.build(place)), "presets", None) or {}
        base = presets.get(preset)
        if not isinstance(base, Train):
            raise unknown("preset", preset, presets, f"{place} ({label})")
        if not isinstance(train, dict):
            raise UserError(f"{place}: train must be a table, found {train!r}")
        if not (type(seeds) is int and 1 <= seeds <= MOST_SEEDS):
            raise UserError(f"{place}: seeds must be a whole number from 1 to {MOST_SEEDS}, found {seeds!r}")
        trained = build(Train, {**values(base), **top.train, **train}, f"{place}.train")
        entries.append(ModelEntry(label, family, trained, seeds, pretrained))
    return tuple(entries)


def _variants(top: _File, models: tuple[ModelEntry, ...], folder: Path, where: str) -> tuple[Variant, ...]:
    found: list[Variant] = []
    labels = [entry.label for entry in models]
    for index, table in enumerate(top.variants):
        place = f"{where}: variants[{index}]"
        variant = build(_Variant, table, place)
        _plain(variant.name, place)
        if variant.name == REFERENCE or variant.name in (other.name for other in found):
            raise UserError(f"{place}: the variant name {variant.name!r} is used twice ({REFERENCE!r} is the uncompressed model)")
        for label in variant.models or ():
            if label not in labels:
                raise unknown("model", label, labels, place)
        chosen = [entry for entry in models if variant.models is None or entry.label in variant.models]
        found.append(Variant(variant.name, _steps(variant, chosen, folder, place), variant.models))
    return tuple(found)


def _steps(variant: _Variant, models: list[ModelEntry], folder: Path, where: str) -> tuple[Spec, ...]:
    specs: list[Spec] = []
    families = [entry.family for entry in models]
    fixed = last = ""
    for index, table in enumerate(variant.steps):
        place = f"{where}.steps[{index}]"
        name = table.get("technique", "")
        if "export" in table or "format" in table or name in ("export", *names("format")):
            raise UserError(
                f"{place}: export is no technique: a variant is exported at its end to `formats`, and nothing can follow it"
            )
        spec = _spec("technique", table, folder, place)
        technique: Technique = spec.build(place)
        if last:
            raise UserError(f"{place}: {spec.name} cannot follow {last}, whose adapter belongs to these weights; put {last} last")
        if fixed and (technique.fixes_precision or not technique.keeps_weights):
            raise UserError(
                f"{place}: {spec.name} cannot follow {fixed}, which fixes the precision of the weights; put {fixed} last"
            )
        fixed = spec.name if technique.fixes_precision else fixed
        last = spec.name if technique.keeps_weights and not technique.fixes_precision else ""
        families = [technique.family(family) for family in families]
        for family in families:
            family.build(place)  # a student's options are the family's
        specs.append(spec)
    return tuple(specs)


def _formats(formats: tuple[str, ...], where: str) -> tuple[str, ...]:
    for index, name in enumerate(formats):
        if name not in names("format"):
            raise unknown("format", name, names("format"), f"{where}: formats[{index}]")
        if name in formats[:index]:
            raise UserError(f"{where}: formats[{index}]: {name!r} is named twice")
    return formats

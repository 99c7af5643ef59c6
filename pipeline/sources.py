"""What a step's code is: its own file, every file of ours that it imports, and the versions of the packages they use.

The digest is part of the step's key, so an edit rebuilds exactly what it can change. Comments, docstrings and layout do
not count: the syntax tree is hashed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import platform
import sys
from pathlib import Path

from pipeline.registry import ROOT

OURS = ("pipeline", "models", "targets", "reports")
COMPILED = (".c", ".cpp", ".h")
KEPT = {ROOT / "models/_eye.py": ROOT / "models/eyes"}
"""Trained weights that code of ours reads: what it does changes with them."""


def digest(files: list[Path]) -> str:
    """Hash of the code that these files run: theirs, what they import of ours, what is compiled beside that, the weights that it
    reads, and the packages' versions.
    """
    ours, packages = _closure(files)
    parts = [_tree_hash(path) for path in sorted(ours)]
    folders = {path.parent for path in ours if ROOT in path.parents}
    compiled = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in COMPILED)
    weights = sorted(path for code, folder in KEPT.items() if code in ours for path in folder.rglob("*") if path.is_file())
    parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in (*compiled, *weights)]
    parts += [f"{name}=={version(name)}" for name in sorted(packages)]
    parts.append(f"python=={platform.python_version()}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@functools.cache
def version(package: str) -> str:
    """The installed version of the package that an import name belongs to; "" when it is not installed."""
    for name in (package.replace("_", "-"), _distribution(package)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _distribution(package: str) -> str:
    return {"sklearn": "scikit-learn", "yaml": "PyYAML", "PIL": "pillow"}.get(package, package)


def _closure(files: list[Path]) -> tuple[set[Path], set[str]]:
    ours: set[Path] = set()
    packages: set[str] = set()
    waiting = [path.resolve() for path in files]
    while waiting:
        path = waiting.pop()
        if path in ours:
            continue
        ours.add(path)
        for name in _imports(path):
            if name.split(".")[0] in OURS:
                waiting += [module for module in _modules(name) if module not in ours]
            else:
                packages.add(name.split(".")[0])
    return ours, {name for name in packages if name not in sys.stdlib_module_names}


def _modules(name: str) -> list[Path]:
    """The files of a dotted name: the module, or the package of which its last part is a value."""
    place = ROOT / name.replace(".", "/")
    candidates = [place.with_suffix(".py"), place / "__init__.py"]
    if not any(path.is_file() for path in candidates):
        candidates = [place.parent.with_suffix(".py"), place.parent / "__init__.py"]
    return [path for path in candidates if path.is_file()]


def _imports(path: Path) -> frozenset[str]:
    return _read(path, path.stat().st_mtime_ns)[0]


def _tree_hash(path: Path) -> str:
    return _read(path, path.stat().st_mtime_ns)[1]


class _Running(ast.NodeTransformer):
    """Leaves what runs: drops what only type checkers read, and bare strings (docstrings, words behind a field)."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        bare = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if bare else self.generic_visit(node)


@functools.cache
def _read(path: Path, modified: int) -> tuple[frozenset[str], str]:
    """The dotted names that a file imports, and the hash of its syntax tree without docstrings."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in ast.walk(_Running().visit(tree)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found), hashlib.sha256(ast.dump(tree).encode()).hexdigest()

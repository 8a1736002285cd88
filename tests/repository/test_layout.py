"""The layout: who imports whom, and how large a package and a file may be."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("core", "plugins", "games", "analysis")

# The layers, the lowest first: the files of a package import their own package and those of lower layers only, wherever
# in a file, for types too, and by no string. "core" stands for the files that lie in it: the lowest layer.
LAYERS = (
    ("core", "core.tracing.program"),
    ("core.process", "core.storage", "core.tracing", "core.tracing.rewrites", "core.game", "analysis", "plugins"),
    ("core.log", "core.registry", "core.derivatives"),
    ("core.images", "core.experiments", "core.stability", "core.solver", "core.sweep", "core.terminal", "analysis.log",
     "plugins.losses", "plugins.regularizers"),
    ("core.spectra", "core.provenance", "core.loop", "analysis.measures", "analysis.drawing", "games.networks",
     "games.data", "plugins.metrics", "plugins.solvers.descent", "plugins.solvers.shaping"),
    ("core.compiled", "core.parallel", "analysis.figures", "games.gans", "games.images", "plugins.experiments.gans",
     "plugins.experiments.images", "plugins.solvers.extrapolation", "plugins.solvers.competitive"),
    ("core.run", "core.conformance", "analysis.commands", "games", "plugins.solvers", "plugins.experiments"),
    ("core.cli",),
)  # fmt: skip
# What analysis may use, since logs are read on machines without torch.
TORCH_FREE = ("core", "core.process", "core.storage", "core.log", "core.registry", "core.stability", "core.sweep",
              "core.experiments", "core.terminal")  # fmt: skip
TORCH_IN_CORE = {"core.tolerances", "core.seeding", "core.collective"}
FILES, LINES = 15, 280  # of a package, of a file
# Who may name modules of other packages in strings: the tables of what is built in, by which it is found when wanted.
TABLES = {"core.registry.kinds", "core.registry.registry"}


def _modules() -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def _imports() -> dict[str, set[str]]:
    """module -> every module it imports at run time, ours without the leading "counterplay."."""
    ours = dict(_modules())
    return {name: set(_imported(name, path, set(ours))) for name, path in ours.items()}


def _imported(name: str, path: Path, ours: set[str], typing: bool = False) -> Iterator[str]:
    """What a file imports, wherever it does; with ``typing`` for type checkers, too."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in _statements(ast.parse(path.read_text(encoding="utf-8")), typing):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.level == 0:
            yield node.module or ""
        else:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                yield whole if whole in ours else ".".join(base)


def _statements(tree: ast.AST, typing: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and not typing:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from _statements(node, typing)


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("core", {"core", ""}),  # "" is the package itself: its version
        ("plugins", {"core", "plugins"}),
        ("games", {"core", "games"}),
        ("analysis", {"core", "analysis", ""}),
    ],
)
def test_who_imports_whom(folder: str, allowed: set[str]) -> None:
    inside = {name: imports for name, imports in _imports().items() if name.split(".")[0] == folder}
    assert inside
    for name, imports in inside.items():
        for other in imports:
            top = other.split(".")[0]
            assert top != "counterplay", f"{name} imports {other}: import relatively"
            assert top in allowed or top not in (*FOLDERS, ""), f"{name} imports {other}"


def _package(name: str) -> str:
    return name if _is_package(name) else name.rpartition(".")[0]


def _is_package(name: str) -> bool:
    return (ROOT / Path(*name.split("."))).is_dir()


def _ours(names: Iterable[str]) -> Iterator[str]:
    known = dict(_modules())
    return (name for name in names if name in known)


def test_analysis_needs_no_torch() -> None:
    for name, imports in _imports().items():
        if name.startswith("analysis"):
            for other in imports:
                assert other.split(".")[0] not in ("torch", "safetensors"), f"{name} imports {other}"
                if other.startswith("core."):
                    assert _package(other) in TORCH_FREE, f"{name} imports {other}"
                    assert other not in TORCH_IN_CORE, f"{name} imports {other}"


def test_torch_free_packages_are() -> None:
    """No module of the list reaches torch through what it imports."""
    imports = _imports()

    def reach(name: str, seen: set[str]) -> set[str]:
        for other in imports.get(name, ()):
            if other not in seen:
                seen.add(other)
                reach(other, seen)
        return seen

    for name in imports:
        if _package(name) in TORCH_FREE and name not in TORCH_IN_CORE:
            assert not {m for m in reach(name, set()) if m.split(".")[0] == "torch"}, name


def test_layers() -> None:
    layer = {package: n for n, packages in enumerate(LAYERS) for package in packages}
    assert len(layer) == sum(map(len, LAYERS)) and len(LAYERS) <= 8
    assert set(layer) == {_package(name) for name, _ in _modules()}, "every package is in one layer of LAYERS"
    for name, path in _modules():
        for other in _ours(_imported(name, path, set(dict(_modules())), typing=True)):
            mine, its = _package(name), _package(other)
            assert mine == its or layer[its] < layer[mine], (
                f"{name} (layer {layer[mine]}) imports {other} ({layer[its]})"
            )


def test_no_string_leads_up() -> None:
    """A module is named in a string only from above, or in the tables of what is built in."""
    layer = {package: n for n, packages in enumerate(LAYERS) for package in packages}
    for name, path in _modules():
        for said in _strings(path):
            for found in re.finditer(rf"(?<![\w/])(?:counterplay)?\.?((?:{'|'.join(FOLDERS)})(?:\.\w+)+)", said):
                known = next(_ours(_shorter(found[1])), None)
                if known is None or known.count(".") == 0 or name in TABLES:
                    continue
                mine, its = _package(name), _package(known)
                assert mine == its or layer[its] < layer[mine], f"{name} names {known}, which is above it, in a string"


def _strings(path: Path) -> Iterator[str]:
    """Every string but what documents."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def _shorter(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:n]) for n in range(len(parts), 1, -1))


def test_packages_and_files_are_small() -> None:
    count = Counter(_package(name) for name, _ in _modules())
    assert {package: n for package, n in count.items() if n > FILES} == {}
    lines = {name: path.read_text(encoding="utf-8").count("\n") for name, path in _modules()}
    assert {name: n for name, n in lines.items() if n > LINES} == {}


def test_every_package_says_what_it_is_for() -> None:
    for name, path in _modules():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), name


def test_no_cycles() -> None:
    imports, done, path = _imports(), set(), []  # type: ignore[var-annotated]

    def visit(name: str) -> None:
        if name in done or name not in imports:
            return
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        path.append(name)
        for other in sorted(imports[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in imports:
        visit(name)

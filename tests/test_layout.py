"""The layout: who imports whom, what is packaged, and what is imported when."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import counterplay

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "plugins", "games", "analysis")

# Inside core a module imports from its own floor or from below.
FLOORS = (
    {
        "errors",
        "blame",
        "code",
        "kept",
        "lock",
        "signals",
        "streams",
        "sourcecode",
        "stacking",
        "options",
        "values",
        "coerce",
        "schema",
        "seeding",
        "validate",
        "nested",
        "tolerances",
        "normalization",
        "torch_errors",
        "written_out",
        "evaluation",
        "hookspecs",
        "undisturbed",
        "probe",
        "roots",
        "window",
        "records",
    },
    {
        "fickle",
        "reads",
        "guard",
        "origin",
        "closeness",
        "graph",
        "graph_rules",
        "graph_linear",
        "graph_adjoint",
        "graph_factors",
        "graph_work",
        "graph_passes",
        "graph_capture",
        "graph_replay",
        "graph_memory",
        "trace",
        "scalars",
        "native",
    },
    {"tree", "form", "loss", "game", "answers", "operator", "krylov", "krylov_schur"},
    {"products", "inside", "field", "eager", "prepared", "local", "inner"},
    {"kinds", "neighbours", "thirdparty", "registry"},
    {"rules", "orders", "solver", "regularizer", "adapters", "module_state", "module_games"},
    {
        "plainfile",
        "sealed",
        "agreement",
        "rundir",
        "blockfile",
        "worker",
        "sandbox",
        "pieces",
        "log_rows",
        "history",
        "blocks",
        "checkpoint",
    },
    {
        "settings",
        "starting",
        "state",
        "batch_digest",
        "game_check",
        "fixed_batch",
        "eigen",
        "spectrum",
        "point_spectra",
        "leader",
        "update",
        "watch",
        "contract",
        "intact",
        "compiled",
        "chunk",
        "observers",
        "recorder",
        "recorders",
        "plane",
        "loop",
        "named",
        "bytecode",
        "description",
        "circumstances",
        "handed",
        "journal",
        "engine",
    },
    {
        "checked",
        "checked_games",
        "checked_solvers",
        "checked_parts",
        "conformance",
        "config",
        "progress",
        "resume",
        "recorded",
        "measured",
        "cli_types",
        "objects",
        "cli_list",
        "cli_run",
        "cli_resume",
        "cli_spectrum",
        "cli",
    },
)
# What analysis may use: modules that need no torch.
TORCH_FREE = {
    "errors",
    "options",
    "values",
    "coerce",
    "cli_types",
    "schema",
    "validate",
    "hookspecs",
    "rundir",
    "pieces",
    "blockfile",
    "lock",
    "agreement",
    "plainfile",
    "sandbox",
    "window",
    "records",
}


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


def _imported(name: str, path: Path, ours: set[str]) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in _runtime(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.level == 0:
            yield node.module or ""
        else:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                yield whole if whole in ours else ".".join(base)


def _runtime(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from _runtime(node)


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
    for name, imports in _imports().items():
        if name.split(".")[0] == folder:
            for other in imports:
                top = other.split(".")[0]
                assert top != "counterplay", f"{name} imports {other}: import relatively"
                assert top in allowed or top not in (*FOLDERS, ""), f"{name} imports {other}"


def test_analysis_needs_no_torch() -> None:
    for name, imports in _imports().items():
        if name.startswith("analysis"):
            for other in imports:
                assert other.split(".")[0] not in ("torch", "safetensors"), f"{name} imports {other}"
                if other.startswith("core."):
                    assert other.removeprefix("core.") in TORCH_FREE, f"{name} imports {other}"


def test_torch_free_modules_are() -> None:
    """No module of the list reaches torch through what it imports."""
    imports = _imports()

    def reach(name: str, seen: set[str]) -> set[str]:
        for other in imports.get(name, ()):
            if other not in seen:
                seen.add(other)
                reach(other, seen)
        return seen

    for name in TORCH_FREE:
        assert not {m for m in reach(f"core.{name}", set()) if m.split(".")[0] == "torch"}, name


def test_floors_of_core() -> None:
    floor = {name: n for n, names in enumerate(FLOORS) for name in names}
    for name, imports in _imports().items():
        if name.startswith("core."):
            own = name.removeprefix("core.")
            assert own in floor, f"{name} has no floor yet: put it where it belongs in FLOORS"
            for other in imports:
                if other.startswith("core."):
                    below = other.removeprefix("core.")
                    assert floor[below] <= floor[own], f"{name} (floor {floor[own]}) imports {other} ({floor[below]})"


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


def _project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _packages_on_disk() -> set[str]:
    found = {p.parent.relative_to(ROOT) for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")}
    return {"counterplay", *(".".join(("counterplay", *p.parts)) for p in found)}


def test_package_list_is_what_is_on_disk() -> None:
    listed = _project()["tool"]["setuptools"]["packages"]  # type: ignore[index]
    assert set(listed) == _packages_on_disk()
    assert len(listed) == len(set(listed))
    for package in listed:
        assert (ROOT / Path(*package.split(".")[1:]) / "__init__.py").is_file()


def _tracked() -> list[str]:
    """What git holds; nothing where there is no work tree of ours, or no git."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return []
    return [] if listed.returncode else listed.stdout.split("\0")[:-1]


def test_top_level_is_as_designed() -> None:
    allowed = {*FOLDERS, "tests", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "__init__.py"}
    held = {name.split("/")[0] for name in _tracked()}
    if not held:  # no git here: what is ours must be there, what else is there is not ours to judge
        held = {p.name for p in ROOT.iterdir()} & allowed
        assert {*FOLDERS, "pyproject.toml", "README.md", "__init__.py"} <= held
    assert {name for name in held if name[0] != "."} <= allowed


def test_typing_links_lead_to_the_folders() -> None:
    links = ROOT / ".typing" / "counterplay"
    assert {p.name for p in links.iterdir()} == {"__init__.py", *FOLDERS}
    assert all(p.resolve() == ROOT / p.name for p in links.iterdir())


def test_wheel_holds_every_module(tmp_path: Path) -> None:
    tree = tmp_path / "tree"  # a build leaves files behind: not in the work tree
    for _, path in [("", ROOT / "__init__.py"), *_modules()]:
        target = tree / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tree / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    built = subprocess.run([*pip, "-w", str(tmp_path), str(tree)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("counterplay-*.whl")
    held = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    ours = {"counterplay/" + p.relative_to(ROOT).as_posix() for _, p in _modules()} | {"counterplay/__init__.py"}
    assert held == ours


def test_version_is_said_once_in_effect() -> None:
    assert counterplay.__version__ == _project()["project"]["version"]  # type: ignore[index]


def test_every_public_name_resolves_and_is_known_to_type_checkers() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    typed = {a.asname: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert typed == counterplay._HOME
    for name in counterplay._HOME:
        assert getattr(counterplay, name) is not None
        assert name in dir(counterplay)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        counterplay.nothing  # noqa: B018


_HEAVY = "[m for m in ('torch', 'numpy', 'h5py', 'matplotlib', 'xarray', 'pandas', 'sklearn') if m in sys.modules]"


@pytest.mark.parametrize("code", ["import counterplay, sys", "import counterplay.core.cli.main, sys"])
def test_importing_is_light(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{code}; print({_HEAVY})"], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done


def test_help_lists_every_command_without_torch() -> None:
    code = (
        "import sys, counterplay.core.cli.main as c\n"
        "try: c.main(['--help'])\n"
        f"except SystemExit as e: print('code', e.code, {_HEAVY})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "code 0 []" in done.stdout
    for command in ("run", "spectrum", "list", "describe", "check", "summary", "plot", "report"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.benchmark
def test_help_is_fast() -> None:
    """At most 0.4 s from the shell and back; the fastest of five, since others may be using the machine."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "counterplay.core.cli.main", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - began)
    assert min(times) < 0.4


def test_nothing_shipped_asserts() -> None:
    """``python -O`` leaves out assertions: what must hold is checked by a statement that raises."""
    for name, path in [("", ROOT / "__init__.py"), *_modules()]:
        lines = [n.lineno for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Assert)]
        assert not lines, f"{name} asserts in line {lines}"


def test_nothing_needs_pickle() -> None:
    for name, imports in _imports().items():
        assert not imports & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}, name


def test_ci_finds_its_commands_in_the_readme() -> None:
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in ("run", "minimum"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for marker in ("<!-- ci:install -->\n```sh\n", "<!-- ci:test -->\n```sh\n"):
        assert readme.count(marker) == 1, marker

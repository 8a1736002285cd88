"""Names, options and plugins: what is found, what is made, and what a broken plugin cannot break."""

from __future__ import annotations

import importlib
import signal
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core import probe, registry, trace, undisturbed
from counterplay.core.cli import main
from counterplay.core.coerce import SETTING, Mismatch, coerce, describe
from counterplay.core.errors import PluginError, UsageError, did_you_mean
from counterplay.core.kinds import KINDS
from counterplay.core.options import MISSING, Count, Decay, NonNegative, Positive, option, options_of
from counterplay.core.registry import Registry
from counterplay.core.tree import Setting

HEAD = """\
import sys
from dataclasses import dataclass
import counterplay as cp
from counterplay import Entry, hookimpl

@dataclass(frozen=True)
class Mine(cp.Composed):
    "v, as simgd has it."
    gamma: float = cp.option(0.5, "nothing")
"""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry that has met nobody, in the place of the process's own. It imports without trying it elsewhere."""
    own = Registry()
    monkeypatch.setattr(registry, "REGISTRY", own)
    monkeypatch.setattr(probe, "deadly", lambda points: {})
    return own


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a distribution with one module as the import system would see it after pip."""

    def make(name: str, source: str, *, version: str = "1.0", point: str | None = None) -> None:
        (tmp_path / f"{name}.py").write_text(HEAD + textwrap.dedent(source))
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[counterplay]\n{name} = {point or name}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)

    return make


SOLVER = """
    @hookimpl
    def register_solvers():
        return [Entry("{name}", Mine, "mine", "Me 2024")]
"""


# --- built-ins ---------------------------------------------------------------------------------------------------


def test_every_entry_is_sound(fresh: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPLAY_NO_PLUGINS", "1")
    for kind in KINDS:
        names = [e.name for e in cp.core.registry.entries(kind)]
        assert names and len(names) == len(set(names))
        for name in names:
            entry = registry.find(kind, name)
            assert entry.summary and "\n" not in entry.summary and entry.reference
            for o in options_of(entry.factory):
                assert o.help, f"{kind} {name}: option {o.name} has no help"
                assert describe(o.annotation)
    assert registry.problems() == []


def test_make_by_name_table_or_object(fresh: Registry) -> None:
    solver = cp.make("solver", "simgd", lr={"x": 0.09, "y": 0.01})
    assert solver.lr == {"x": 0.09, "y": 0.01}
    assert cp.make("solver", {"name": "simgd", "lr": {"x": 0.09, "y": 0.01}}) == solver
    assert cp.make("solvers", solver) is solver
    with pytest.raises(UsageError, match="made already"):
        cp.make("solver", solver, lr=1.0)
    with pytest.raises(UsageError, match=r"by name or as a solver object, got Quadratic"):
        cp.make("solver", cp.make("game", "quadratic"))
    with pytest.raises(UsageError, match="without a name"):
        cp.make("solver", {"lr": 1.0})


def test_settings_make_the_same_again(fresh: Registry) -> None:
    for kind in KINDS:
        for name in fresh.built_in(kind):
            if all(o.default is not MISSING for o in options_of(registry.find(kind, name).factory)):
                made = cp.make(kind, name)
                table = registry.settings(made)
                assert table["name"] == name
                assert cp.make(kind, {k: v for k, v in table.items() if v is not None}) == made


def test_wrong_names_say_the_right_ones(fresh: Registry) -> None:
    with pytest.raises(UsageError, match="unknown solver 'conpt'; did you mean 'conopt'"):
        cp.make("solver", "conpt")
    with pytest.raises(UsageError, match=r"simgd has no option 'lrr'; did you mean 'lr'\? Its options are lr, rule"):
        cp.make("solver", "simgd", lrr=1)
    with pytest.raises(UsageError, match="unknown kind 'sovler'; did you mean 'solver'"):
        cp.make("sovler", "simgd")
    with pytest.raises(UsageError, match="option 'gamma' of solver conopt: expected a number, a list of numbers"):
        cp.make("solver", "conopt", gamma="abc")
    with pytest.raises(UsageError, match=r"The games are .*quadratic"):
        cp.make("game", "zzz")


@pytest.mark.parametrize("word", ["SimGD", "simgd_", "sim-gd"])
def test_did_you_mean_forgives_case_and_hyphens(word: str) -> None:
    assert did_you_mean(word, ["adam", "simgd"]) == "; did you mean 'simgd'?"
    assert did_you_mean("qqqq", ["simgd"]) == "."


# --- options -----------------------------------------------------------------------------------------------------


def _no_objects(cls: type, value: Any) -> Any:
    raise Mismatch


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (float, 1, 1.0),
        (float, np.float32(0.5), 0.5),
        (float, torch.tensor(2.0), 2.0),
        (float, float("inf"), float("inf")),
        (int, 1e4, 10000),
        (int, np.int64(3), 3),
        (bool, True, True),
        (str, "a", "a"),
        (Path, "a/b", Path("a/b")),
        (float | None, None, None),
        (Literal["auto", "dense"], "dense", "dense"),
        (Literal[1, 2], 2, 2),
        (tuple[float, float], [0, 0.5], (0.0, 0.5)),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (list[float], (1, 2), [1.0, 2.0]),
        (list[str], [], []),
        (dict[str, int], {"x": 2}, {"x": 2}),
        (Setting, 1, 1.0),
        (Setting, [1, 2], [1.0, 2.0]),
        (Setting, np.linspace(0, 1, 3), [0.0, 0.5, 1.0]),
        (Setting, {"x": 1, "y": [1, 2]}, {"x": 1.0, "y": [1.0, 2.0]}),
        (int | str, "auto", "auto"),
        (Count, 1, 1),
        (NonNegative | None, 0, 0.0),
        (Any, object, object),
    ],
)
def test_coercion(annotation: Any, value: Any, expected: Any) -> None:
    got = coerce(value, annotation, _no_objects)
    assert got == expected and type(got) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (float, "abc", "a number"),
        (float, True, "a number"),
        (float, float("nan"), "a number"),
        (int, 1.5, "a whole number"),
        (int, float("inf"), "a whole number"),
        (int, False, "a whole number"),
        (bool, 1, "true or false"),
        (str, 5, "text"),
        (Literal["auto", "dense"], "dens", "one of 'auto', 'dense'"),
        (Literal[1], True, "one of 1"),
        (tuple[float, float], [1], "a list of 2 numbers"),
        (tuple[int, str], [1, 2], "a list of a whole number, text"),
        (tuple[int, ...], 3, "a list of whole numbers"),
        (list[str], "x", "a list of texts"),
        (dict[str, float], [1], "a table {name: a number}"),
        (Setting, "abc", "a number, a list of numbers (one per member) or a table {player: number}"),
        (Setting, {"x": "a"}, "a number, a list of numbers (one per member) or a table {player: number}"),
        (float | None, "x", "a number or nothing"),
        (torch.Tensor, 3, "a tensor"),
        (Count, 0, "a whole number, 1 or more"),
        (Positive | None, 0, "a number, more than 0 or nothing"),
        (Decay, 1, "a number, 0 or more, less than 1"),
    ],
)
def test_mismatches_are_described(annotation: Any, value: Any, words: str) -> None:
    with pytest.raises(Mismatch):
        coerce(value, annotation, _no_objects)
    assert describe(annotation) == words


def test_setting_is_the_tree_modules() -> None:
    assert SETTING == Setting


def test_options_are_read_from_fields_and_docstrings() -> None:
    @dataclass(frozen=True)
    class Thing:
        """A thing.

        width: how wide it is
        """

        width: int
        depth: float = option(2.0, "how deep")
        names: list[str] = option(["a"], "who")
        _hidden: int = 3

    width, depth, names = options_of(Thing)
    assert (width.name, width.default, width.help) == ("width", MISSING, "how wide it is")
    assert (depth.default, depth.help) == (2.0, "how deep")
    assert names.default == ["a"] and Thing(1).names is not Thing(1).names


# --- third parties -----------------------------------------------------------------------------------------------


def test_a_plugin_is_found_and_its_source_known(fresh: Registry, install: Callable[..., None]) -> None:
    install("good_one", SOLVER.format(name="mine"), version="2.1")
    assert "mine" not in fresh.built_in("solver")
    assert cp.make("solver", "mine", gamma=2).gamma == 2.0
    origin = fresh.origin("solver", "mine")
    assert origin["source"] == "good_one 2.1" and len(str(origin["sha256"])) == 64
    assert registry.settings(cp.make("solver", "mine"))["name"] == "mine"
    assert registry.problems() == []


def test_a_built_in_name_imports_no_third_party(fresh: Registry, install: Callable[..., None]) -> None:
    install("lazy_one", "raise RuntimeError('imported')")
    cp.make("solver", "simgd")
    assert "lazy_one" not in sys.modules and registry.problems() == []
    registry.entries("solver")
    assert [(p.plugin, p.message) for p in registry.problems()] == [("lazy_one 1.0", "RuntimeError: imported")]


def test_no_plugins_switches_third_parties_off(
    fresh: Registry, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("off_one", SOLVER.format(name="off"))
    monkeypatch.setenv("COUNTERPLAY_NO_PLUGINS", "1")
    with pytest.raises(UsageError, match="unknown solver 'off'"):
        cp.make("solver", "off")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("def broken(:", "SyntaxError"),
        ("x = 1", "implements no hook"),
        ("@hookimpl\n    def register_things(): return []", "unknown hook register_things: the hooks are register_sol"),
        ("@hookimpl\n    def register_solvers(extra): return []", "extra"),
        ("@hookimpl\n    def register_solvers(): return Entry('a', Mine, 'b')", "returned Entry; expected a list"),
        ("@hookimpl\n    def register_solvers(): return 'abc'", "returned str; expected a list"),
        ("@hookimpl\n    def register_solvers(): return None", "returned NoneType; expected a list"),
        ("@hookimpl\n    def register_solvers(): return [('a', Mine)]", "returned a tuple among its items"),
        ("@hookimpl\n    def register_solvers(): return [Entry('A b', Mine, 'c')]", "'A b' is not lower-case words"),
        ("@hookimpl\n    def register_solvers(): return [Entry('a', len, 'c')]", "not a dataclass"),
        ("@hookimpl\n    def register_solvers(): return [Entry('a', Mine, 3)]", "must be text"),
        ("@hookimpl\n    def register_solvers(): raise OSError('no')", "OSError: no"),
        ("@hookimpl\n    def register_solvers(): yield 1 / 0", "ZeroDivisionError"),
        (SOLVER.format(name="simgd"), "the solver name 'simgd' is taken (built in); this one was dropped"),
    ],
)
def test_a_broken_plugin_is_reported_and_nothing_else_is_lost(
    fresh: Registry, install: Callable[..., None], source: str, message: str
) -> None:
    install("aaa_broken", "\n    " + source if not source.startswith("\n") else source, version="0.3")
    install("zzz_good", SOLVER.format(name="mine"))
    assert {"mine", "simgd"} <= {e.name for e in registry.entries("solver")}
    assert type(cp.make("solver", "simgd")).__module__.startswith("counterplay.")
    found = registry.problems()
    assert found and {p.plugin for p in found} == {"aaa_broken 0.3"}
    assert message in found[0].message
    with pytest.raises(UsageError, match=r"1 plugin\(s\) have problems: see counterplay list"):
        cp.make("solver", "zzz")


def test_two_plugins_with_one_name(fresh: Registry, install: Callable[..., None]) -> None:
    install("first_one", SOLVER.format(name="same"))
    install("second_one", SOLVER.format(name="same"))
    assert fresh.find("solver", "same").source == "first_one 1.0"
    (problem,) = registry.problems()
    assert problem.plugin == "second_one 1.0" and "taken (first_one 1.0)" in problem.message


PRESSED = "\n    import os, signal; os.kill(os.getpid(), signal.SIGINT)\n    while True: pass"


def test_a_plugin_that_prints_does_not_reach_the_output(
    fresh: Registry, install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install("loud_one", "\n    print('hello')" + SOLVER.format(name="loud"))
    assert "loud" in {e.name for e in registry.entries("solver")}
    said = capsys.readouterr()
    assert said.out == "" and said.err == "hello\n"


@pytest.mark.parametrize(("sign", "whose"), [("raise KeyboardInterrupt", "the plugin's"), (PRESSED, "the user's")])
def test_ctrl_c_is_the_users(fresh: Registry, install: Callable[..., None], sign: str, whose: str) -> None:
    install("interrupted_one", sign)
    before = signal.getsignal(signal.SIGINT)
    if whose == "the user's":
        with pytest.raises(KeyboardInterrupt):
            registry.entries("solver")
    else:
        assert "simgd" in {e.name for e in registry.entries("solver")}
        assert [p.message for p in registry.problems()] == ["KeyboardInterrupt"]
    assert signal.getsignal(signal.SIGINT) is before


CHANGES = {
    "Python's random numbers": "import random; random.seed(1)",
    "numpy's random numbers": "import numpy; numpy.random.seed(1)",
    "torch's random numbers": "import torch; torch.manual_seed(1)",
    "torch's default dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "torch's default device": "import torch; torch.set_default_device('meta')",
    "torch's number of threads": "import torch; torch.set_num_threads(torch.get_num_threads() + 1)",
    "torch's gradient mode": "import torch; torch.set_grad_enabled(False)",
    "the handler of SIGTERM": "import signal; signal.signal(signal.SIGTERM, print)",
    "the handler of SIGINT": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
}


def test_what_an_import_changes_is_put_back_and_told(
    fresh: Registry, install: Callable[..., None], tmp_path: Path
) -> None:
    def state() -> list[object]:
        return [value for value, _ in undisturbed._facets().values()]

    before = state()
    for n, line in enumerate(CHANGES.values()):
        install(f"changes_{n}", f"\n    {line}" + SOLVER.format(name=f"mine-{n}"))
    assert {f"mine-{n}" for n in range(len(CHANGES))} <= {e.name for e in registry.entries("solver")}
    told = {p.plugin: p.message for p in registry.problems()}
    assert told == {f"changes_{n} 1.0": f"changed {what}; this was put back" for n, what in enumerate(CHANGES)}
    (tmp_path / "file.py").write_text(FILE + "\n" + "\n".join(CHANGES.values()))
    registry.load_file(str(tmp_path / "file.py"))
    assert cp.make("solver", "filed").gamma == 0.5
    assert len([p for p in registry.problems() if p.plugin.endswith("file.py")]) == len(CHANGES)
    assert state() == before and not trace.watched(), "nothing looks on that did not before"


def test_a_plugin_with_unreadable_metadata_is_still_named(
    fresh: Registry, install: Callable[..., None], tmp_path: Path
) -> None:
    install("nameless", "raise OSError('no')")
    (tmp_path / "nameless-1.0.dist-info" / "METADATA").write_text("nothing\n")
    registry.entries("solver")
    assert "nameless" in registry.problems()[0].plugin


def test_list_names_each_with_its_distribution_and_error(
    fresh: Registry, install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """And costs no other command: what is built in is listed, made and described all the same."""
    broken = {
        "a_raises": ("1 / 0", "ZeroDivisionError: division by zero"),
        "b_exits": ("sys.exit(0)", "SystemExit: 0"),
        "c_interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        "d_base": ("raise BaseException('no')", "BaseException: no"),
        "e_syntax": ("def broken(:", "SyntaxError: "),
        "f_seeds": ("import torch; torch.manual_seed(0)" + SOLVER.format(name="f"), "changed torch's random numbers"),
        "g_taken": ("print('loud')" + SOLVER.format(name="simgd"), "the solver name 'simgd' is taken (built in)"),
        "h_hook": ("@hookimpl\n    def register_things(): return []", "unknown hook register_things"),
        "i_type": ("@hookimpl\n    def register_solvers(): return 3", "TypeError: register_solvers returned int"),
    }
    for name, (source, _) in broken.items():
        install(name, "\n    " + source)
    for command in (["list"], ["describe", "solver", "simgd"], ["list", "solvers", "--json"]):
        terminate = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            main(command)
        signal.signal(signal.SIGTERM, terminate)
        said = capsys.readouterr()
        assert not ended.value.code and "simgd" in said.out and "loud" not in said.out
        if command[0] == "list":
            for name, (_, message) in broken.items():
                assert f"problem: {name} 1.0: {message}" in said.err, said.err
            assert "Traceback" not in said.err


DEADLY = {
    "a_crash": ("import os; os._exit(0)", "ends the process when it is imported, with exit code 0"),
    "b_good": (SOLVER.format(name="mine"), ""),
    "c_segfault": ("import ctypes; ctypes.string_at(0)", "ends the process when it is imported, with signal SIGSEGV"),
    "d_hang": ("while True: pass", "hangs when it is imported: no end after 1 s"),
    "e_good": ("print('loud')" + SOLVER.format(name="other"), ""),
    "f_raises": ("1 / 0", "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("names", [["a_crash", "b_good", "d_hang"], pytest.param([*DEADLY], marks=pytest.mark.slow)])
def test_a_plugin_that_hangs_or_ends_the_process_is_found_out(
    names: list[str], monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]
) -> None:
    monkeypatch.setattr(registry, "REGISTRY", Registry())
    monkeypatch.setattr(probe, "SECONDS", 1.0)
    for name in names:
        install(name, "\n    " + DEADLY[name][0])
    assert {"mine", "simgd"} <= {e.name for e in registry.entries("solver")}
    told = {p.plugin.split()[0]: p.message for p in registry.problems()}
    assert told == {name: DEADLY[name][1] for name in names if DEADLY[name][1]}
    assert "a_crash" not in sys.modules and "d_hang" not in sys.modules


def test_without_another_process_plugins_are_imported_here(
    monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]
) -> None:
    monkeypatch.setattr(registry, "REGISTRY", Registry())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    install("z_good", SOLVER.format(name="mine"))
    assert cp.make("solver", "mine").gamma == 0.5 and registry.problems() == []


FILE = HEAD + textwrap.dedent(SOLVER.format(name="filed"))


def test_a_file_is_a_plugin(fresh: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    registry.load_file(str(tmp_path / "mine.py"))
    registry.load_file(str(tmp_path / "mine.py"))  # naming it twice is no conflict
    assert cp.make("solver", "filed").gamma == 0.5
    assert "file " in str(fresh.origin("solver", "filed")["source"]) and registry.problems() == []


def test_a_file_may_come_after_its_kind_was_asked_for(fresh: Registry, tmp_path: Path) -> None:
    cp.make("solver", "simgd")
    (tmp_path / "late.py").write_text(FILE)
    registry.load_file(str(tmp_path / "late.py"))
    assert cp.make("solver", "filed").gamma == 0.5


def test_a_bad_file_is_refused(fresh: Registry, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    (tmp_path / "bad.txt").write_text("")
    with pytest.raises(UsageError, match="no such file"):
        registry.load_file(str(tmp_path / "none.py"))
    with pytest.raises(UsageError, match="not a Python file"):
        registry.load_file(str(tmp_path / "bad.txt"))
    with pytest.raises(PluginError, match="cannot be imported: ZeroDivisionError"):
        registry.load_file(str(tmp_path / "bad.py"))


def test_factories_that_fail(fresh: Registry, tmp_path: Path) -> None:
    source = """
    @dataclass(frozen=True)
    class Picky(Mine):
        def __post_init__(self):
            if self.gamma < 0: raise ValueError("gamma must not be negative")
            if self.gamma > 9: raise OSError("no such device")

    @dataclass(frozen=True)
    class Stranger:
        pass

    @hookimpl
    def register_solvers():
        return [Entry("picky", Picky, "p"), Entry("stranger", Stranger, "s")]
    """
    (tmp_path / "picky.py").write_text(HEAD + textwrap.dedent(source))
    registry.load_file(str(tmp_path / "picky.py"))
    with pytest.raises(UsageError, match="does not accept these options: gamma must not be negative"):
        cp.make("solver", "picky", gamma=-1)
    with pytest.raises(PluginError, match="failed to start: OSError"):
        cp.make("solver", "picky", gamma=10)
    with pytest.raises(PluginError, match=r"is not a counterplay\.Solver"):
        cp.make("solver", "stranger")

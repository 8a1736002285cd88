"""From what is typed to an experiment: values, layers, and the TOML that says it all again."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterplay.core.errors import UsageError
from counterplay.core.registry import experiment as config
from counterplay.core.registry.experiment import Experiment, assignments, merged, resolve
from counterplay.core.registry.kinds import STEP_RULES
from counterplay.core.solver.step_rules import RULES
from counterplay.core.typed_values import value

from ..conftest import Run

BASE = {"game": "quadratic", "solver": "simgd"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("1e-4", 1e-4),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.5e3", -500.0),
        ("1_000", 1000),
        ("inf", float("inf")),
        ("true", True),
        ("True", "True"),
        ("[0.5, 0.999]", [0.5, 0.999]),
        ('["a", "b"]', ["a", "b"]),
        ("{x = 1}", {"x": 1}),
        ('"1"', "1"),
        ("adam", "adam"),
        ("", ""),
        ("a b", "a b"),
        ("2024-01-01", "2024-01-01"),
        ("gradient_norm<1e-6", "gradient_norm<1e-6"),
        ("1\nother = 2", "1\nother = 2"),
        ("[1,", "[1,"),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert value(text) == expected and type(value(text)) is type(expected)


def test_assignments_nest_and_merge() -> None:
    assert assignments(["lr.x=0.01", "lr.y=0.09"], "-s") == {"lr": {"x": 0.01, "y": 0.09}}
    adam = {"name": "adam", "betas": [0.5, 0.999]}
    assert assignments(["rule=adam", "rule.betas=[0.5,0.999]"], "-s") == {"rule": adam}
    assert assignments(["a=1", "a=2"], "-g") == {"a": 2}
    assert assignments(["path=a=b"], "-g") == {"path": "a=b"}


ORDERS = [
    (["rule=adam", "rule.betas=[0.5,0.9]"], {"rule": {"name": "adam", "betas": [0.5, 0.9]}}),
    (["rule.name=adam", "rule.eps=1"], {"rule": {"name": "adam", "eps": 1}}),
    (["lr=0.1", "lr.x=0.2"], {"lr": {"*": 0.1, "x": 0.2}}),
    (["lr=0.1", "lr={x=0.2}", "lr.y=[0.3]"], {"lr": {"*": 0.1, "x": 0.2, "y": [0.3]}}),
    (["a=1", "a.b=2", "a.b.c=3"], {"a": {"*": 1, "b": {"*": 2, "c": 3}}}),
    (["net=conv", "net.act=relu", "net.act.slope=1"], {"net": {"name": "conv", "act": {"name": "relu", "slope": 1}}}),
    (["lr=null", "lr.x=1"], {"lr": {"x": 1}}),
]


@pytest.mark.parametrize(("items", "meant"), ORDERS)
def test_the_order_of_options_does_not_matter(items: list[str], meant: dict[str, Any]) -> None:
    for order in itertools.permutations(items):
        assert assignments(order, "-s") == meant


@pytest.mark.parametrize(
    ("low", "high", "meant"),
    [
        ({"lr": 0.1}, {"lr": {"x": 0.2}}, {"lr": {"*": 0.1, "x": 0.2}}),
        ({"lr": {"x": 0.2}}, {"lr": 0.1}, {"lr": 0.1}),  # the later layer means everybody
        ({"lr": {"*": 0.1, "x": 0.2}}, {"lr": {"y": 0.3}}, {"lr": {"*": 0.1, "x": 0.2, "y": 0.3}}),
        ({"lr": {"x": 0.2}}, {"lr": {"*": 0.1}}, {"lr": {"x": 0.2, "*": 0.1}}),
        ({"rule": {"betas": [0.5, 0.9]}}, {"rule": "adam"}, {"rule": {"name": "adam", "betas": [0.5, 0.9]}}),
        ({"rule": {"name": "sgd", "eps": 1}}, {"rule": "adam"}, {"rule": {"name": "adam"}}),
        ({"rule": "adam"}, {"rule": {"betas": [0.5, 0.9]}}, {"rule": {"name": "adam", "betas": [0.5, 0.9]}}),
        ({"tol": None}, {"tol": {"x": 1}}, {"tol": {"x": 1}}),
        ({"tol": 1e-3}, {"tol": None}, {"tol": None}),
    ],
)
def test_layers_refine_each_other(low: dict[str, Any], high: dict[str, Any], meant: dict[str, Any]) -> None:
    named = {"name": "simgd"}
    assert merged(named | low, high) == named | meant
    assert merged(low, named | high) == named | meant


def test_everybody_is_every_player() -> None:
    filled = config.expand_everyone({"name": "simgd", "lr": {"x": 0.2, "*": 0.1}, "rule": {"name": "adam"}}, ("x", "y"))
    assert filled == {"name": "simgd", "lr": {"x": 0.2, "y": 0.1}, "rule": {"name": "adam"}}
    with pytest.raises(UsageError, match=r"option 'b' of the game was given whole and in parts \(b.x\): give one"):
        config.require_whole_or_in_parts("game", {"name": "quadratic", "b": {"*": 1, "x": 2}})


@pytest.mark.parametrize("text", ["lr", "=1", "lr.=1", ".x=1", ""])
def test_assignments_say_what_they_expect(text: str) -> None:
    with pytest.raises(UsageError, match="expected key=value"):
        assignments([text], "-s")


def test_another_name_starts_afresh() -> None:
    low = {"name": "acgd", "lr": 1.0}
    assert merged(low, {"lr": 2.0}) == {"name": "acgd", "lr": 2.0}
    assert merged(low, {"name": "acgd"}) == low
    assert merged(low, "acgd") == low
    assert merged(low, {"name": "simgd", "rule": "adam"}) == {"name": "simgd", "rule": "adam"}
    assert merged(low, "simgd") == {"name": "simgd"}
    assert merged("acgd", {"lr": 1.0}) == low
    assert merged(0.1, {"x": 0.2}) == {"*": 0.1, "x": 0.2}  # its own, and everybody else's


def test_the_later_layer_wins() -> None:
    file = {**BASE, "steps": 1, "seed": 1, "members": 1}
    environment = config.from_environment({"COUNTERPLAY_STEPS": "2", "COUNTERPLAY_SEED": "2", "HOME": "/x"})
    e = resolve(file, environment, {"steps": 3})
    assert (e.steps, e.seed, e.members, e.every) == (3, 2, 1, 1)


def test_environment_names_are_checked() -> None:
    with pytest.raises(UsageError, match="COUNTERPLAY_STEP is not known; did you mean 'COUNTERPLAY_STEPS'"):
        config.from_environment({"COUNTERPLAY_STEP": "2"})
    assert config.from_environment({"COUNTERPLAY_NO_PLUGINS": "1", "COUNTERPLAY_MYPLUGIN_HOME": "x"}) == {}


@pytest.mark.parametrize("field", ["steps", "seed", "members", "every", "spectrum_every", "sample_every"])
def test_counts_may_be_written_scientifically(field: str, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(f"game = 'quadratic'\nsolver = 'simgd'\n{field} = 2.5e3")
    of_environment = config.from_environment({f"COUNTERPLAY_{field.upper()}": "25e2"})
    for layer in (config.from_file(str(tmp_path / "e.toml")), BASE | of_environment, {**BASE, field: 2500.0}):
        number = getattr(resolve(layer), field)
        assert number == 2500 and type(number) is int
    with pytest.raises(UsageError, match=rf"{field.replace('_', '-')}: expected .*, got 2.5e-3\."):
        resolve(BASE | config.from_environment({f"COUNTERPLAY_{field.upper()}": "2.5e-3"}))
    with pytest.raises(UsageError, match=r"got 1e30\."):
        resolve(BASE | config.from_environment({f"COUNTERPLAY_{field.upper()}": "1e30"}))
    with pytest.raises(UsageError, match=rf"COUNTERPLAY_{field.upper()}=1e400: 1e400 is too large"):
        config.from_environment({f"COUNTERPLAY_{field.upper()}": "1e400"})


def test_null_is_as_if_not_given() -> None:
    e = resolve(
        {**BASE, "steps": 5, "members": 3}, config.from_environment({"COUNTERPLAY_STEPS": "null"}), {"members": None}
    )
    assert (e.steps, e.members) == (1000, None)
    with pytest.raises(UsageError, match="no solver was named"):
        resolve({**BASE, "solver": None})


def test_a_file_may_not_hold_what_no_number_can(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text("[solver]\nlr = 1e400")
    with pytest.raises(UsageError, match=r"--config .*e.toml: 1e400 is too large"):
        config.from_file(str(tmp_path / "e.toml"))


def test_the_home_directory_is_known_in_every_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "e.toml").write_text('game = "quadratic"\nsolver = "simgd"\nplugins = ["~/a b.py"]\nout = "~/my run"')
    e = resolve(config.from_file("~/e.toml"), config.from_environment({"COUNTERPLAY_START": "~/s"}))
    assert (e.plugins, e.out, e.start) == ([f"{tmp_path}/a b.py"], f"{tmp_path}/my run", f"{tmp_path}/s")
    assert resolve({**BASE, **config.from_environment({"COUNTERPLAY_OUT": "2024"})}).out == "2024"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": "ten"}, "steps: expected a whole number, 0 or more, got 'ten'"),
        ({"steps": -1}, "steps: expected a whole number, 0 or more, got -1"),
        ({"seed": 2**64}, "seed: expected a whole number from 0"),
        ({"spectrum_every": 0}, "spectrum-every: expected a whole number, 1 or more, got 0"),
        ({"dtype": "float16"}, "dtype: expected float32 or float64, got 'float16'"),
        ({"blowup": 0}, "blowup: expected a positive number"),
        ({"blowup": float("nan")}, "blowup: expected a positive number"),
        ({"regularizers": "l2"}, "regularizers: expected a list"),
        ({"plugins": [1]}, "plugins: expected a list of file names"),
        ({"game": 3}, "game: expected a name or a table"),
        ({"game": {"a": 1}}, "game: options were given, but not whose"),
        ({"regularizers": [{"weight": 1}]}, "Name the regularizer as well"),
        ({"loss": {"a": 1}}, "Name the loss as well"),
        ({"stepss": 3}, "an experiment has no 'stepss'; did you mean 'steps'"),
        ({"game": ""}, "no game was named"),
        ({"solver": {}}, "no solver was named"),
    ],
)
def test_wrong_experiments_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve({**BASE, **wrong})


def test_regularizers_and_their_options() -> None:
    table = {"regularizers": ["l2", {"name": "r1", "gamma": 5.0}]}
    assert config.with_regularizers(table, [], {"r1": {"gamma": 1.0}}) == ["l2", {"name": "r1", "gamma": 1.0}]
    assert config.with_regularizers(table, ["l2"], {"weight": 2.0}) == [{"name": "l2", "weight": 2.0}]
    assert config.with_regularizers({}, ["l2"], {"l2": {"weight": 2.0}}) == [{"name": "l2", "weight": 2.0}]
    assert config.with_regularizers({}, [], {}) is None
    assert config.with_regularizers({"regularizers": "l2"}, [], {}) is None  # left to the check of the whole
    both = {"l2": {"weight": 2.0}, "player": "x"}  # -r l2.weight=2 -r player=x
    assert config.with_regularizers({}, ["l2"], both) == [{"name": "l2", "weight": 2.0, "player": "x"}]
    with pytest.raises(UsageError, match="none was named"):
        config.with_regularizers({}, [], {"weight": 2.0})
    with pytest.raises(UsageError, match=r"-r r2\.\.\.: not one of the regularizers named; did you mean 'r1'"):
        config.with_regularizers(table, [], {"r2": {"gamma": 1.0}})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        config.from_file(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("steps = = 3")
    with pytest.raises(UsageError, match=r"not TOML: .*line 1"):
        config.from_file(str(tmp_path / "bad.toml"))
    (tmp_path / "latin.toml").write_bytes(b"game = '\xe9'")
    with pytest.raises(UsageError, match="not TOML"):
        config.from_file(str(tmp_path / "latin.toml"))


_scalars = st.one_of(st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False), st.text(max_size=8))
_names = st.sampled_from(["quadratic", "x-1"])
_tables = st.builds(
    lambda name, options: {**options, "name": name},
    _names,
    st.dictionaries(st.text(min_size=1, max_size=8), st.one_of(_scalars, st.lists(_scalars, max_size=3)), max_size=4),
)


@given(
    game=_tables,
    solver=st.one_of(_names, _tables),
    regularizers=st.lists(st.one_of(_names, _tables), max_size=2),
    steps=st.integers(0, 10**12),
    members=st.none() | st.integers(1, 10**6),
    blowup=st.none() | st.floats(min_value=1e-300, exclude_min=True, allow_nan=False),
    out=st.none() | st.text(max_size=10),
)
def test_toml_says_the_same_experiment_again(**fields: Any) -> None:
    experiment = Experiment(**fields)
    assert resolve(tomllib.loads(config.to_toml(experiment))) == experiment


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("regularizers = [3]", "regularizers: expected a list of names or tables, got [3]."),
        ("trace = 'yes'", "trace: expected true or false, got 'yes'."),
        ("compile = 1", "compile: expected true or false, got 1."),
        ("seed = 1979-05-27", "seed: expected a whole number from 0 to 2^63 - 1, got 1979-05-27."),
    ],
)
def test_a_file_s_values_of_the_wrong_type_are_named(cli: Run, tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "e.toml").write_text(f"game = 'quadratic'\nsolver = 'simgd'\n{line}")
    assert cli("run", "--config", str(tmp_path / "e.toml"), "--dry-run") == (2, "", f"Error: {said}\n")


def test_a_file_may_begin_with_a_byte_order_mark_and_must_end(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_bytes(b"\xef\xbb\xbf" + b"game = 'quadratic'\nsolver = 'simgd'\nsteps = 7")
    code, out, err = cli("run", "--config", str(tmp_path / "e.toml"), "--dry-run")
    assert code == 0 and "steps = 7\n" in out, err
    code, _, err = cli("run", "--config", "/dev/zero", "--dry-run")
    assert code == 2 and "longer than 16,777,216 bytes" in err


def test_what_the_file_system_refuses_is_no_bug(cli: Run) -> None:
    for command in (("run", "quadratic", "--solver", "simgd", "--out"), ("summary",)):
        code, _, err = cli(*command, "x" * 300)
        assert code in (2, 74) and "internal error" not in err and len(err.splitlines()) == 1, err


def test_the_names_of_step_rules_are_known_without_torch():
    assert tuple(RULES) == STEP_RULES

"""The settings of a run: one field each, from which the keyword, the option, the key and the checks follow."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest

import counterplay as cp
from counterplay.core.cli.run import run_command
from counterplay.core.errors import UsageError
from counterplay.core.registry.experiment import FIELDS, resolve, to_table
from counterplay.core.run.settings import Settings
from counterplay.core.settings import UserSettings

OFF = dict.fromkeys(("deterministic", "tf32", "channels_last"), False)


def test_every_setting_is_a_keyword_an_option_and_a_key() -> None:
    keywords = inspect.signature(cp.run).parameters
    options = {p.name for p in run_command.params}
    for field in fields(UserSettings):
        assert keywords[field.name].default == field.default, field.name
        assert field.name in options and field.name in FIELDS, field.name
        assert field.metadata["help"], field.name


def test_what_need_not_be_said_is_left_out() -> None:
    experiment = resolve({"game": "quadratic", "solver": "simgd", "spectrum_every": None, "device": None})
    plain = {"game": "quadratic", "solver": "simgd", "regularizers": [], "steps": 1000, "seed": 0, "device": "cpu"}
    assert to_table(experiment) == {**plain, "every": 1, "inexact_data": False, **OFF, "plugins": []}
    assert to_table(resolve({"game": "a", "solver": "b", "spectrum_every": 5}))["spectrum_every"] == 5


def test_whole_numbers_of_any_kind_are_ints() -> None:
    found = Settings(steps=np.int64(3), members=np.int32(2)).checked()  # type: ignore[arg-type]
    assert (found.steps, found.members, found.sample_every) == (3, 2, None)
    assert type(found.steps) is type(found.members) is int
    assert Settings.read(found.facts()) == found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"members": 0}, "members must be a whole number of at least 1, got 0."),
        ({"steps": 1.5}, "steps must be a whole number of at least 0, got 1.5."),
        ({"steps": None}, "steps must be a whole number of at least 0, got None."),
        ({"steps": 2**63}, "steps must be a whole number from 0 to 2^63 - 1, got 9223372036854775808."),
        ({"seed": 2**64}, "seed must be a whole number from 0 to 2^64 - 1, got 18446744073709551616."),
        ({"every": True}, "every must be a whole number of at least 1, got True."),
        ({"blowup": 0.0}, "blowup must be a number above 0, or inf, got 0.0."),
        ({"seeding": 3}, "seeding 3 is that of a newer version; 2 is the newest known here."),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(asked: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Settings(**asked).checked()  # type: ignore[arg-type]
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"steps": -1}, "steps: expected a whole number, 0 or more, got -1."),
        ({"every": 0}, "every: expected a whole number, 1 or more, got 0."),
        ({"steps": 2**63}, "steps: expected at most 2^63 - 1, got 9223372036854775808."),
        ({"seed": 2**63}, "seed: expected a whole number from 0 to 2^63 - 1, got 9223372036854775808."),
        ({"blowup": -1.0}, "blowup: expected a positive number, got -1.0."),
        ({"trace": "yes"}, "trace: expected true or false, got 'yes'."),
        ({"until": 3}, "until: expected text, got 3."),
        ({"plugins": "a.py"}, "plugins: expected a list of file names, got 'a.py'."),
        ({"regularizers": 3}, "regularizers: expected a list of names or tables, got 3."),
    ],
)
def test_a_key_of_the_wrong_type_says_what_it_takes(asked: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve({"game": "quadratic", "solver": "simgd", **asked})
    assert str(refused.value) == said

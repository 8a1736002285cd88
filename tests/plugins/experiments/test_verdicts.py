"""The verdicts of the built-in experiments at quick scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterplay.core.cli.reproduction import reproduce
from counterplay.core.registry.registry import entries, make

# Each claim on which the verdict is another one than "agrees", by experiment.
OTHERS: dict[str, dict[str, str]] = {"num-lemmas": {"lemma-9": "disagrees"}}


@pytest.mark.parametrize("name", [e.name for e in entries("experiment")])
def test_verdicts_at_quick_scale(name: str, tmp_path: Path) -> None:
    made = {name: make("experiment", name)}
    (found,) = reproduce(made, "quick", tmp_path, "cpu", lambda: False, lambda line: None)
    verdicts = {claim["claim"]: claim["verdict"] for claim in found["claims"]}
    assert verdicts == dict.fromkeys(verdicts, "agrees") | OTHERS.get(name, {})
    shown = [e["quantity"] for claim in found["claims"] for e in claim["figures"] if "ours_value" not in e]
    assert shown == [], "every quantity that a claim names is measured"
    assert found["panels"]

"""Nothing depends on torch's default dtype: a run made again elsewhere, where it is another, is the same run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.registry import registry

from ..support.cases import identical, simgd

SMALL: dict[str, dict[str, Any]] = {
    "mixture": {"hidden": 4, "layers": 1, "latent": 2, "batch": 4},
    "digits": {"hidden": 4, "batch": 4},
}
GAMES = [(e.name, SMALL.get(e.name) or dict(getattr(e.factory, "small_options", {}))) for e in registry.entries("game")]
GAMES += [("digits", {"hidden": 4, "batch": 4, "network": "conv"}), ("covariance", {"exact": False, "batch": 4})]
IDS = [name for name, _ in GAMES[:-2]] + ["digits by convolutions", "covariance of samples"]


@pytest.fixture
def default(request):
    before = torch.get_default_dtype()
    yield torch.set_default_dtype
    torch.set_default_dtype(before)


@pytest.mark.parametrize(("name", "options"), GAMES, ids=IDS)
def test_built_in_games_are_the_same_under_every_default(tmp_path, default, name, options):
    found = []
    for dtype in (torch.float32, torch.float64):
        default(dtype)
        game = cp.make("game", name, **options)
        out = tmp_path / str(dtype)
        result = cp.run(game, simgd(1e-3), steps=3, out=out, sample_every=1, trace=False)
        log = cp.open_log(out)
        found.append(
            (
                result.status,
                result.params,
                {k: torch.from_numpy(log[k].copy()).nan_to_num() for k in log if not k.endswith("seconds")},
            )
        )
    (status, *first), (again, *second) = found
    assert status == again and identical(first, second)

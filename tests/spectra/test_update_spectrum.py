"""Eigenvalues of the update map and of the parts of J: products against matrices, in both precisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.derivatives.operator import Operator
from counterplay.core.log.schema import SPECTRUM_STATUS
from counterplay.core.spectra import spectrum as spectra
from counterplay.core.spectra.eigenvalues import dense_spectrum
from counterplay.core.spectra.spectrum import spectrum, symmetric_parts, update_spectrum, update_spectrum_far_from_one
from counterplay.core.spectra.update_map import UpdateMap, update_jacobian

CONVERGED = SPECTRUM_STATUS.index("converged")


def cast(x: Any, dtype: torch.dtype) -> Any:
    return tree_map(lambda t: t.to(dtype) if isinstance(t, Tensor) and t.is_floating_point() else t, x)


def trained(solver: str, options: dict[str, Any], dtype: torch.dtype) -> UpdateMap:
    game = cp.make("game", "mixture", hidden=6, layers=1, latent=3, batch=16)
    method = cp.make("solver", solver, **options)
    result = cp.run(game, method, steps=40, seed=2)
    batch = game.sample(torch.Generator().manual_seed(5), {})
    return UpdateMap(game, method, *(cast(x, dtype) for x in (result.params, result.memory, batch)))


METHODS = [
    ("simgd", {"lr": 0.05}),
    ("simgd", {"lr": 1e-3, "rule": "adam"}),
    ("conopt", {"lr": 0.05, "gamma": 0.5}),
    ("acgd", {"lr": 1e-3}),
    ("acgd", {"lr": 1e-3, "method": "gmres"}),
    ("lookahead-minmax", {"lr": 0.05, "k": 3}),
]


BOTH = [(*method, dtype) for method in METHODS for dtype in (torch.float64, torch.float32)]
QUICK = [0, 2, 5, 7, 10]  # each method once, in one of the precisions; acgd by one of its methods


@pytest.mark.parametrize(
    ("solver", "options", "dtype"),
    [case if k in QUICK else pytest.param(*case, marks=pytest.mark.slow) for k, case in enumerate(BOTH)],
)
def test_products_find_the_eigenvalues_farthest_from_one(
    solver: str, options: dict[str, Any], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    F = trained(solver, options, dtype)
    exact = dense_spectrum(trained(solver, options, torch.float64).derivative().dense()).eigenvalues
    expected = (1 - exact).abs().sort(descending=True).values[:4]
    monkeypatch.setattr(spectra, "DENSE", 0)
    found = update_spectrum_far_from_one(F, k=6)
    assert found is not None
    distance = (1 - found.eigenvalues).abs().sort(descending=True).values[:4]
    tol = 1e-6 if dtype is torch.float64 else 2e-3
    assert torch.allclose(distance, expected, rtol=tol, atol=tol * float(expected[0]))


def test_a_space_that_breaks_down_does_not_count_as_converged() -> None:
    """Entries of very different size leave nothing but rounding after two products; that is no eigenvector."""
    A = torch.diag(torch.linspace(1, 2, 50)).float()
    A[0, 1:] = 1e9
    x = {"x": {"value": torch.ones(50)}}
    op = Operator(lambda u: {"x": {"value": A @ u["x"]["value"]}}, lambda w: w, x, x)
    found = spectra._leading(op, 6, 40, tol=1e-3)
    wrong = (found.eigenvalues.real > 2.1) | (found.eigenvalues.imag.abs() > 0.1)
    assert not bool((wrong & (found.status == CONVERGED)).any())


def test_members_have_update_maps_of_their_own() -> None:
    game, solver = cp.make("game", "dirac-gan"), cp.make("solver", "simgd", lr=[0.1, 0.3], rule="momentum")
    table = Evaluator(game, 2)
    params, buffers = table.start([torch.Generator().manual_seed(m) for m in range(2)])
    memory = solver.init(table, params)
    found = update_spectrum(UpdateMap(table, solver, params, memory, table.draw([torch.Generator()] * 2, buffers)))
    for m, lr in enumerate((0.1, 0.3)):
        alone = cp.make("solver", "simgd", lr=lr, rule="momentum")
        own = tree_map(lambda x, m=m: x[m], params)
        J = update_jacobian(game, alone, own)
        expected = np.sort_complex(torch.linalg.eigvals(J).numpy())
        assert np.allclose(np.sort_complex(found.eigenvalues[m].numpy()), expected, atol=1e-9)


def test_a_period_is_one_application() -> None:
    game = cp.make("game", "bilinear")
    zero = {i: {"value": torch.zeros(1, dtype=torch.float64)} for i in game.players}
    slow = cp.make("solver", "lookahead-minmax", lr=0.2, k=4, alpha=0.5)
    one = update_jacobian(game, cp.make("solver", "simgd", lr=0.2), zero)
    expected = 0.5 * torch.eye(2, dtype=torch.float64) + 0.5 * torch.linalg.matrix_power(one, 4)
    assert torch.allclose(update_jacobian(game, slow, zero)[:2, :2], expected, atol=1e-12)


def test_parts_of_the_jacobian() -> None:
    game = cp.make("game", "affine-gaussian", exact=True)
    params, batch = game.init(torch.Generator().manual_seed(3)), game.buffers(torch.Generator())
    J = LocalGame.of(game, params, batch).jacobian()
    dense = J.dense()
    for part, expected in zip(symmetric_parts(J), ((dense + dense.T) / 2, (dense - dense.T) / 2), strict=True):
        assert torch.allclose(part.dense(), expected, atol=1e-12)
        assert torch.allclose(part.T.dense(), expected.T, atol=1e-12)
    assert spectrum(symmetric_parts(J)[1]).eigenvalues.real.abs().max() < 1e-12


def test_all_spectra_are_recorded(tmp_path: Path) -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr={"x": 0.09, "y": 0.01})
    cp.run(game, solver, steps=4, out=tmp_path / "q", spectrum_every=2)
    with h5py.File(tmp_path / "q" / "log.h5") as file:
        log = file["spectrum"]
        assert log["step"][:].tolist() == [0, 2, 4]
        update = log["update_eigenvalues"][:]
        assert np.allclose(np.abs(update), 0.96250, atol=5e-6)
        assert np.allclose(np.sort(log["symmetric_eigenvalues"][:]), [-2, 2])
        assert np.allclose(np.sort(log["antisymmetric_eigenvalues"][:]), [-10, 10])
        assert (log["update_status"][:] == CONVERGED).all()

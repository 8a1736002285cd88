"""What is measured at a recorded point: under which buffers, on which draws, in which precision, at what cost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.utils._pytree import tree_map

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.fixed_batch import (
    GALLERY_SEED,
    FixedBatches,
    converged_buffers,
    refresh_until_converged,
)
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.derivatives.products import Cost
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import Batch, Buffers, Params, ravel
from counterplay.core.spectra import point_spectra, spectrum
from counterplay.core.spectra.eigenvalues import dense_spectrum
from counterplay.core.spectra.point_spectra import ProbeFactory, jacobian_spectra, update_spectra
from counterplay.core.spectra.spectrum import symmetric_parts

from ..conftest import Run
from ..support.cases import F64, close, generator, identical, matrix_game, random_matrix, same_spectrum

SMALL = {"hidden": 5, "layers": 1, "latent": 3, "batch": 16, "std": 0.3}


def field(game: cp.Game, params: Params, batch: Batch) -> tuple[Any, Tensor]:
    """theta -> v by plain autograd, and theta as one vector."""
    sizes = [(i, k, x.shape, x.numel()) for i, t in params.items() for k, x in t.items()]

    def v(theta: Tensor) -> Tensor:
        pieces = theta.split([n for *_, n in sizes])
        trees: Params = {i: {} for i in params}
        for (i, k, shape, _), piece in zip(sizes, pieces, strict=True):
            trees[i][k] = piece.reshape(shape)
        losses = game.losses(trees, batch)
        found = [g for i, t in trees.items() for g in torch.autograd.grad(losses[i], [*t.values()], create_graph=True)]
        return torch.cat([g.flatten() for g in found])

    return v, ravel(params).requires_grad_()


def singular(params: Params, player: str) -> Buffers:
    """The buffers of spectral normalisation at rest."""
    out: Buffers = {}
    for name, x in params[player].items():
        if x.dim() >= 2:
            U, _, Vh = torch.linalg.svd(x.reshape(x.shape[0], -1))
            u = U[:, 0]
            out |= {f"spectral_norm/{player}/{name}/u": u, f"spectral_norm/{player}/{name}/v": Vh[0]}
    return out


def test_a_spectrum_is_taken_under_the_buffers_of_its_point(tmp_path: Path) -> None:
    """Spectral norm, beside J by plain autograd with the singular vectors of each weight."""
    game = regularized(cp.make("game", "mixture", **SMALL), cp.make("regularizer", "spectral-norm"))
    result = cp.run(
        game, cp.make("solver", "simgd", lr=0.05), steps=30, spectrum_every=30, out=tmp_path / "run", dtype="float64"
    )
    table = Evaluator(game, dtype=F64)
    batch = {**FixedBatches(table)({})[0], **singular(result.params, "discriminator")}
    v, theta = field(game, result.params, batch)
    J = jacobian(v, theta)
    log = cp.open_log(tmp_path / "run")
    same_spectrum(J, torch.from_numpy(log["spectrum/eigenvalues"][-1]), 1e-7)
    same_spectrum(
        torch.eye(len(J), dtype=F64) - 0.05 * J, torch.from_numpy(log["spectrum/update_eigenvalues"][-1]), 1e-7
    )
    assert log["spectrum/gradient_norm"][-1] == pytest.approx(float(v(theta).detach().norm()), rel=1e-9)
    assert int(log["spectrum/state_size"][-1]) == len(J) == log["spectrum/update_count"][-1]


@dataclass(frozen=True)
class Turning(cp.Game):
    """v = a J theta with a buffer a: an average of the parameters' size, and a count of the steps."""

    decay: float = 0.5
    counts: bool = False
    players = ("x", "y")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.rand(1, generator=rng, dtype=F64) + 1} for i in self.players}

    def buffers(self, rng: torch.Generator) -> Buffers:
        return {"a": torch.zeros((), dtype=F64), **({"n": torch.zeros((), dtype=torch.int64)} if self.counts else {})}

    def refresh(self, params: Params, buffers: Buffers) -> Buffers:
        size = (params["x"]["value"] ** 2 + params["y"]["value"] ** 2).sum()
        out = {"a": torch.lerp(size, buffers["a"], self.decay)}
        return {**out, "n": buffers["n"] + 1} if self.counts else out

    def losses(self, params: Params, batch: Batch) -> dict[str, Tensor]:
        f = batch["a"] * (params["x"]["value"] * params["y"]["value"]).sum()
        return {"x": f, "y": -f}

    def show(self, params: Params, batch: Batch) -> Tensor:
        return batch["a"].expand(1, 2)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        return {"a": batch["a"]}


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("game", [Turning(), Turning(0.9999), Turning(counts=True)])
def test_buffers_rest_or_are_what_the_step_sees(game: Turning, members: int | None, tmp_path: Path) -> None:
    """Averages that end do so in spectra; samples and metrics are under the buffers that the step has."""
    seen: list[Any] = []
    cp.run(game, cp.make("solver", "simgd", lr=0.01), steps=7, spectrum_every=7, sample_every=1, out=tmp_path / "run",
           observers=[seen.append], members=members)  # fmt: skip
    last, log = seen[-1], cp.open_log(tmp_path / "run")
    a = last.buffers["a"]
    size = sum(x["value"].squeeze(-1) ** 2 for x in last.params.values())
    expected = size if game == Turning() else a
    found = torch.from_numpy(np.abs(log["spectrum/eigenvalues"][-1]))
    close(found, expected.unsqueeze(-1).expand_as(found), 1e-9)
    close(torch.as_tensor(log["metrics/a"][-1]), a, 1e-15)
    assert float(log["samples/points"][-1].flat[0]) == pytest.approx(float(a.flatten()[0]), rel=1e-6)
    assert last.batch["a"] is not None and torch.equal(last.batch["a"], a)


SLOW = """
from dataclasses import dataclass
import torch
import counterplay as cp

@dataclass(frozen=True)
class Slow(cp.Game):
    '''v = a J theta, a growing from step to step.'''
    players = ("x", "y")
    def init(self, rng):
        return {i: {"value": torch.ones(1, dtype=torch.float64)} for i in self.players}
    def buffers(self, rng):
        return {"a": torch.ones((), dtype=torch.float64)}
    def refresh(self, params, buffers):
        return {"a": buffers["a"] + 1}
    def losses(self, params, batch):
        f = batch["a"] * (params["x"]["value"] * params["y"]["value"]).sum()
        return {"x": f, "y": -f}

@cp.hookimpl
def register_games():
    return [cp.Entry("slow", Slow, "v = a J theta, a growing")]
"""


def test_the_command_looks_under_the_run_s_buffers_or_says_that_it_cannot(cli: Run) -> None:
    """Before step 5 a has been renewed five times, and the step from there renews it once more."""
    Path("slow.py").write_text(SLOW)
    given = ("--plugin", "slow.py", "--solver", "simgd", "-s", "lr=0.01")
    assert cli("run", "slow", *given, "--steps", 5, "--spectrum-every", 5, "--out", "r", "--quiet")[0] == 0
    assert np.allclose(np.abs(cp.open_log("r")["spectrum/eigenvalues"]), [[2, 2], [7, 7]])
    for args in (("r", "--plugin", "slow.py"), ("slow", *given, "--start", "r")):
        code, out, err = cli("spectrum", *args, "--json")
        found = [abs(complex(z["re"], z["im"])) for z in json.loads(out)["jacobian"]["eigenvalues"]]
        assert code == 0 and found == pytest.approx([7, 7]), err
    code, _, err = cli("spectrum", "r", "--plugin", "slow.py", "--step", "3")
    assert code == 2 and "no checkpoint of step 3" in err and "buffers" in err


def test_members_rest_each_by_itself() -> None:
    table = Evaluator(regularized(cp.make("game", "mixture", **SMALL), cp.make("regularizer", "spectral-norm")), 3, F64)
    params, buffers = table.start([generator(m) for m in range(3)])
    found, rest = refresh_until_converged(table, params, buffers)
    assert rest.tolist() == [True] * 3
    alone = Evaluator(table.game, None, F64)
    for m in range(3):
        own = converged_buffers(alone, table.member(params, m), table.member(buffers, m))
        for name, x in own.items():
            close(found[name][m], x, 1e-9)
    sizes = {k: torch.linalg.matrix_norm(x, 2) for k, x in params["discriminator"].items() if x.dim() == 3}
    for name, expected in sizes.items():
        u, v = (found[f"spectral_norm/discriminator/{name}/{side}"] for side in "uv")
        close(torch.einsum("mi,mij,mj->m", u, params["discriminator"][name], v), expected, 1e-12)


def test_one_row_costs_one_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """N products; and what is sliced from the matrix is what each operator gives by itself."""
    sizes = (4, 3, 2)
    game = Evaluator(matrix_game(random_matrix(sizes, 3), sizes), cost=Cost())
    params = game.start([generator()])[0]
    local = LocalGame.of(game, params, {})
    found = jacobian_spectra(local)
    assert game.cost.products == sum(sizes)
    J = local.jacobian()
    for own, A in zip((found.jacobian, found.symmetric, found.antisymmetric), (J, *symmetric_parts(J)), strict=True):
        assert torch.allclose(own.eigenvalues, dense_spectrum(A.dense()).eigenvalues, atol=1e-12, rtol=0)
    for i in game.players:
        alone = dense_spectrum(J.block(i, i).dense()).eigenvalues
        assert torch.allclose(found.blocks[i].eigenvalues, alone, atol=1e-12, rtol=0)
    whole = found.jacobian.eigenvalues
    for module in (point_spectra, spectrum):
        monkeypatch.setattr(module, "DENSE", 0)
    assert torch.allclose(jacobian_spectra(local).jacobian.eigenvalues.abs(), whole.abs(), atol=1e-9)


def test_members_have_both_ends_of_their_update_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found in Krylov spaces that they share the products of: each as it is alone, and as its whole spectrum says."""
    game, solver = cp.make("game", "mixture", **SMALL), cp.make("solver", "simgd", lr=2e-3, rule="adam")
    many = cp.run(game, solver, steps=60, members=2, dtype="float64")
    table = Evaluator(game, 2, F64)
    with torch.no_grad():
        F = ProbeFactory(table, solver)(many.params, many.memory, {}).map(solver)
        exact = spectrum.update_spectrum(F).eigenvalues
        monkeypatch.setattr(spectrum, "DENSE", 0)
        found = update_spectra(F)
        assert found.far is not None and found.leading.status[:, 0].tolist() == [0, 0]
        close(found.leading.eigenvalues[:, 0].abs(), exact.abs().amax(-1), 1e-8)
        close((1 - found.far.eigenvalues[:, 0]).abs(), (1 - exact).abs().amax(-1), 1e-8)


def test_noise_is_the_deviation_of_v_between_batches(tmp_path: Path) -> None:
    game = cp.make("game", "mixture", **SMALL)
    result = cp.run(game, cp.make("solver", "simgd", lr=0.05), steps=5, spectrum_every=5, out=tmp_path / "run")
    rng = generator(GALLERY_SEED)
    game.init(rng)
    params = tree_map(lambda x: x.double(), result.params)
    found = []
    for _ in range(9):
        batch = tree_map(lambda x: x.double() if isinstance(x, Tensor) else x, game.sample(rng, {}))
        v, theta = field(game, params, batch)
        found.append(v(theta).detach())
    rest = torch.stack(found[1:])
    log = cp.open_log(tmp_path / "run")
    assert log["spectrum/gradient_norm"][-1] == pytest.approx(float(found[0].norm()), rel=1e-9)
    assert log["spectrum/mean_gradient_norm"][-1] == pytest.approx(float(rest.mean(0).norm()), rel=1e-9)
    assert log["spectrum/gradient_noise"][-1] == pytest.approx(float(rest.var(0).sum().sqrt()), rel=1e-9)


def test_what_draws_nothing_has_no_noise(tmp_path: Path) -> None:
    cp.run(
        cp.make("game", "quadratic"),
        cp.make("solver", "simgd"),
        steps=2,
        spectrum_every=1,
        out=tmp_path / "run",
        members=3,
    )
    log = cp.open_log(tmp_path / "run")
    assert log["spectrum/gradient_noise"].shape == (3, 3) and not log["spectrum/gradient_noise"].any()
    assert np.array_equal(log["spectrum/gradient_norm"], log["spectrum/mean_gradient_norm"])
    assert np.allclose(log["spectrum/gradient_norm"], np.linalg.norm(log["step/gradient_norms"], axis=-1), rtol=1e-12)


def test_single_precision_is_looked_at_in_double() -> None:
    """And what knows no double precision in its own."""
    game = cp.make("game", "mixture", **SMALL)
    params = Evaluator(game).start([generator()])[0]
    probe = ProbeFactory(Evaluator(game), cp.make("solver", "simgd", rule="adam"))(params, None, {})
    assert probe.game.dtype is F64 and probe.local().gradient()["generator"]["0.weight"].dtype is F64

    def losses(p: Params, b: Batch) -> dict[str, Tensor]:
        f = p["x"]["value"] @ torch.ones(2, 2, dtype=torch.float32) @ p["y"]["value"]
        return {"x": f, "y": -f}

    start = {i: {"value": torch.ones(2)} for i in "xy"}
    only = cp.game_from_losses(losses, start)
    assert ProbeFactory(Evaluator(only), None)(start, None, {}).local().gradient()["x"]["value"].dtype is torch.float32


@pytest.mark.parametrize("restless", [{"name": "ema"}, {"name": "instance-noise", "std": 0.5, "anneal": 50}])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("members", [None, 2])
def test_buffers_that_never_rest_leave_others_their_limits(restless: Any, first: bool, members: int | None) -> None:
    """An average and a count keep the values of the step; beside them the power iterations find their limits."""
    regularizers = [cp.make("regularizer", restless), cp.make("regularizer", "spectral-norm")]
    game = regularized(cp.make("game", "mixture", **SMALL), *(regularizers if first else regularizers[::-1]))
    table = Evaluator(game, members, F64)
    params, buffers = table.start([generator(m) for m in range(members or 1)])
    for _ in range(3):
        buffers = table.refresh(params, buffers)
    found, rest = refresh_until_converged(table, params, buffers)
    assert not rest.any()
    for name, x in buffers.items():
        if not name.startswith("spectral_norm/"):
            assert identical({name: found[name]}, {name: x})
    for name, w in params["discriminator"].items():
        if name.endswith("weight"):
            u, v = (found[f"spectral_norm/discriminator/{name}/{side}"] for side in "uv")
            close((u * (w @ v[..., None])[..., 0]).sum(-1), torch.linalg.matrix_norm(w, 2), 1e-12)

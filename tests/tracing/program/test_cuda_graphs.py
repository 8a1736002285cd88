"""The bookkeeping of CUDA graphs, with a backend that records on the CPU and, as a graph does, writes to one place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import leaves, ravel
from counterplay.core.tracing.program import cuda_graphs
from counterplay.core.tracing.program.cuda_graphs import WARM, Cuda

from ...support.cases import generator, random


class Recording:
    """Records a function, and replays it into the memory of its first result. Notes what it is asked for."""

    def __init__(self, fails=lambda n: False):
        self.pools: list[Any] = []  # one for each capture
        self.replays: list[int] = []  # the number of the graph, for each replay
        self.fails = fails

    def takes(self, tensors):
        return True

    def pool(self):
        return object()

    def capture(self, run, pool, device):
        number = len(self.pools)
        self.pools.append(pool)
        if self.fails(number):
            raise RuntimeError("operation not permitted when stream is capturing\nmore words")
        run()
        result = run()
        places = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]

        def replay():
            self.replays.append(number)
            fresh = [x for x in tree_leaves(run()) if isinstance(x, torch.Tensor)]
            for place, x in zip(places, fresh, strict=True):
                place.copy_(x)

        for x in places:  # a graph has computed nothing yet when it is captured
            if x.is_floating_point() and not any(x is y for y in run.args[0]):
                x.fill_(torch.nan)
        return replay, result


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    backend = Recording()
    monkeypatch.setattr(cuda_graphs, "BACKEND", backend)
    return backend


def mixture(**options):
    return cp.make("game", "mixture", hidden=4, layers=1, batch=8, latent=2, **options)


STEPS = 9


@pytest.mark.parametrize("name", ["acgd", "conopt", "extragradient", "implicit-euler", "lola", "altgd"])
def test_a_run_is_the_same_bit_for_bit(recording: Recording, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    game = cp.make("game", "dirac-gan", loss="saturating")
    method = {"implicit-euler": {"method": "gmres"}, "acgd": {"method": "cg"}}.get(name, {})
    solver = cp.make("solver", name, lr=1e-3, **method)
    with_graphs = cp.run(game, solver, steps=STEPS, trace=True)
    assert recording.replays and with_graphs.eager == ""
    monkeypatch.setattr(cuda_graphs, "BACKEND", Cuda())
    plain = cp.run(game, solver, steps=STEPS, trace=True)
    for x, y in zip(leaves(with_graphs.params), leaves(plain.params), strict=True):
        assert torch.equal(x, y)


def test_a_stage_is_captured_once_and_replayed_once_a_step(recording: Recording) -> None:
    cp.run(mixture(), cp.make("solver", "simgd", lr=1e-3), steps=STEPS, trace=True)
    assert len(recording.pools) == 1
    compared = 3  # replays at the fourth call, and two when the run ends
    assert recording.replays == [0] * (STEPS + compared - WARM)


def test_the_stages_of_a_program_share_a_pool_and_programs_do_not(recording: Recording) -> None:
    cp.run(mixture(), cp.make("solver", "acgd", lr=1e-3, method="cg"), steps=STEPS, trace=True)
    assert len(recording.pools) == 3 and len(set(recording.pools)) == 1  # v with residuals, and two products
    recording.pools.clear()
    table = Evaluator(mixture(), trace=True)
    evaluate(table, 8), evaluate(table, 6)
    assert len(recording.pools) == 2 and len(set(recording.pools)) == 2


def evaluate(table, batch, count=WARM + 2):
    """v at random points, with batches of a size."""
    found = []
    with torch.no_grad():
        for n in range(count):
            params = table.start([generator(n)])[0]
            given = {"real": random(batch, 2, seed=n).float(), "noise": random(batch, 2, seed=n + 9).float()}
            found.append((params, given, LocalGame.of(table, params, given).gradient()))
    return found


def test_other_shapes_are_another_graph(recording: Recording) -> None:
    table = Evaluator(mixture(), trace=True)
    evaluate(table, 8), evaluate(table, 6), evaluate(table, 8)
    assert len(recording.pools) == 2 and set(recording.replays) == {0, 1}


def test_results_stay_when_other_points_are_evaluated(recording: Recording) -> None:
    table = Evaluator(mixture(), trace=True)
    for params, batch, v in evaluate(table, 8, WARM + 5):
        torch.testing.assert_close(v, LocalGame.of(Evaluator(mixture()), params, batch).gradient())
    assert recording.replays


def test_maps_of_an_earlier_point_are_those_of_their_own_point(recording: Recording) -> None:
    game = mixture()
    table, eager = Evaluator(game, trace=True), Evaluator(game)
    with torch.no_grad():
        rng = generator()
        points = [(table.start([generator(n)])[0], table.draw([rng], {})) for n in range(3)]
        for _ in range(WARM + 3):
            made = []
            for params, batch in points:
                local = LocalGame.of(table, params, batch)
                J = local.jacobian()
                v = local.gradient(J.mv, J.rmv)
                made.append((J, v))
            for n in (2, 0, 1, 0):  # in an order other than that of the points
                params, batch = points[n]
                J, v = made[n]
                own = LocalGame.of(eager, params, batch)
                torch.testing.assert_close(J.mv(v), own.jacobian().mv(v), rtol=1e-4, atol=1e-6)
                torch.testing.assert_close(J.rmv(v), own.jacobian().rmv(v), rtol=1e-4, atol=1e-6)
    assert len(set(recording.replays)) == 3


@pytest.mark.parametrize("which", [0, 1, 2])
def test_where_capture_fails_the_stage_is_replayed_as_before_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    backend = Recording(fails=lambda n: n == which)
    game, solver = cp.make("game", "dirac-gan", loss="saturating"), cp.make("solver", "acgd", lr=1e-3, method="cg")
    plain = cp.run(game, solver, steps=STEPS, trace=True)
    monkeypatch.setattr(cuda_graphs, "BACKEND", backend)
    result = cp.run(game, solver, steps=STEPS, trace=True)
    assert result.eager == (
        "Replayed, but not as CUDA graphs: RuntimeError: operation not permitted when stream is capturing."
    )
    assert torch.equal(ravel(result.params), ravel(plain.params))
    assert len(backend.pools) == (1 if which == 0 else 3)  # without residuals in one place maps cannot be captured
    assert which not in backend.replays


def test_after_a_change_of_what_the_losses_read_the_graph_is_another_one(recording: Recording) -> None:
    factor = [1.0]

    def losses(params, batch):
        x, y = params["x"]["value"], params["y"]["value"]
        return {"x": factor[0] * (x * y).sum(), "y": -factor[0] * (x * y).sum()}

    game = cp.game_from_losses(losses, {i: {"value": torch.ones(3)} for i in "xy"})
    table = Evaluator(game, trace=True)
    with torch.no_grad():
        params = table.start([generator()])[0]
        for n in range(2 * WARM + 6):
            factor[0] = 1.0 if n < WARM + 3 else 5.0
            v = LocalGame.of(table, params, {}).gradient()
            assert torch.equal(v["x"]["value"], factor[0] * params["y"]["value"])
    assert len(recording.pools) == 2 and set(recording.replays) == {0, 1}


def on(device):
    return SimpleNamespace(is_cuda=device.startswith("cuda"), device=device)


@pytest.mark.parametrize(
    ("devices", "takes"),
    [(["cuda:0"], True), (["cuda:0", "cuda:0"], True), (["cuda:0", "cpu"], False), (["cuda:0", "cuda:1"], False),
     (["cpu"], False), ([], False)],
)  # fmt: skip
def test_only_programs_that_are_wholly_on_one_gpu_are_captured(devices: list[str], takes: bool) -> None:
    tensors: Any = [on(d) for d in devices]
    assert Cuda().takes(tensors) is takes

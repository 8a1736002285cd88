"""Checks of a game, made once before it is played.

The losses must be a function of parameters and batch, the loss of each player must depend on the player's own
parameters, and a claim of ``zero_sum`` must hold; otherwise UsageError. It is also checked whether J is the derivative
of v, and the answer is recorded. The two differ where a number is taken out of a tensor (``.item()``) or a derivative
is written by hand: what is a constant for J changes as the game is played.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..derivatives.local import LocalGame
from ..derivatives.products import Cost, LinearMap
from ..errors import UsageError, UserError
from ..game.game import innermost
from ..game.tree import Batch, Params, Player, Tree, add, leaves, scale, tmap, zeros_like
from ..options import called
from ..solver.state import State
from .game_check_inputs import few_samples, single_member

AGREES, DIFFERS, UNKNOWN = "agrees", "differs", "unknown"
STEPS = {torch.float64: (1e-5, 1e-8), torch.float32: (3e-3, 3e-4)}  # of the differences, relative to the parameters
FLOOR = {torch.float64: 1e-6, torch.float32: 1e-2}  # allowed error of a product, as a share of the largest product
SHARE = {torch.float64: 1e-3, torch.float32: 3e-2}  # allowed error of a product, as a share of its own size
OPPOSED = {torch.float64: 1e-8, torch.float32: 3e-3}  # allowed relative error of J_ij = -J_ji^T in zero-sum games
CLOSE = 1e-2  # factor on the allowed error where all players move at once, so that a small block is not overlooked

Answer = dict[str, Any]  # status, words, error; run.json has it as checks.jacobian


def check_game(game: Evaluator, state: State) -> Answer:
    """Make all checks at the start of a run (of an ensemble, for member 0); return whether J is the derivative of v.

    Raises UsageError for a game that cannot be played as it is. Any other error is left to the first step.
    """
    try:
        quiet = dataclasses.replace(game, trace=False, cost=Cost())
        batch = quiet.draw(state.generators(), quiet.refresh(state.params, state.buffers))
        alone, params, batch = single_member(quiet, state.params, batch)
        _is_a_function(alone, params, batch)
        batch = few_samples(alone, batch, state.buffers)
    except UsageError:
        raise
    except Exception as error:  # from a plugin's code: it is raised again in the first step, and reported there
        return _answer(UNKNOWN, f"the game could not be evaluated ({type(error).__name__})")
    return jacobian_check(alone, params, batch)


def _is_a_function(game: Evaluator, params: Params, batch: Batch) -> None:
    """Raise UsageError unless the losses are a function of parameters and batch, and each depends on its own player.

    That is: two evaluations agree, the loss of each player depends on the player's own parameters, and no loss depends
    on parameters of an earlier evaluation.
    """
    before, here = _variables(params), _variables(params)
    with torch.enable_grad():
        first, second = game.losses(before, batch), game.losses(here, batch)
    for i, own in _gradients(second, here).items():
        if own and all(x is None for x in own.values()):
            raise UsageError(
                f"the loss of {i} depends on none of {i}'s own parameters, so {i} would never move: compute it "
                f"from them (in a game of modules: from nets[{i!r}], not from a copy)."
            )
    for i, x in first.items():
        # Sums on a GPU have no fixed order, and rounding in LAPACK depends on where a matrix lies in memory.
        tol = torch.finfo(x.dtype).eps ** (0.75 if x.device.type == "cpu" else 0.5)
        if not torch.allclose(x, second[i], rtol=tol, atol=tol * torch.finfo(x.dtype).eps, equal_nan=True):
            raise UsageError(
                f"the loss of {i} differs between two evaluations at one point ({float(x.detach()):.9g}, then "
                f"{float(second[i].detach()):.9g}): the losses of {_name(game)} draw or count something; draw it in "
                "sample, or keep it in buffers and refresh."
            )
    if any(x is not None for own in _gradients(second, before).values() for x in own.values()):
        raise UsageError(
            f"the losses of {_name(game)} use again what they computed from other parameters (a cache, as by "
            "lru_cache): compute it anew in each evaluation, or keep it in buffers and refresh."
        )


def _variables(params: Params) -> Params:
    """``params`` as leaves that torch.autograd can differentiate with respect to."""
    return tmap(lambda x: x.detach().requires_grad_(), params)


def _gradients(losses: dict[Player, Tensor], params: Params) -> dict[Player, dict[str, Tensor | None]]:
    """v by plain torch.autograd; None where a loss does not depend on a tensor.

    J is computed with torch.func: v must come from elsewhere to be a check. It is also several times as fast.
    """
    v = {}
    for i, own in params.items():
        found: Sequence[Tensor | None] = [None] * len(own)
        if own and losses[i].requires_grad:
            found = torch.autograd.grad(losses[i], list(own.values()), allow_unused=True, retain_graph=True)
        v[i] = dict(zip(own, found, strict=True))
    return v


def jacobian_check(game: Evaluator, params: Params, batch: Batch) -> Answer:
    """Compare products with J with differences of v, block by block; in double precision if the game can be played so.

    Raises UsageError where the game claims ``zero_sum`` and J_ij = -J_ji^T does not hold.
    """
    in_double = dataclasses.replace(game, dtype=torch.float64)
    first: UserError | Exception | None = None
    for evaluator in (in_double, game):
        try:
            return _compare(evaluator, evaluator.cast(params), evaluator.cast(batch))
        except UsageError as error:
            if evaluator is game or error.__cause__ is None:  # else torch's error, explained: of double precision alone
                raise
            first = first or error
        except Exception as error:  # constants of another dtype, no second derivative, or a fault of the game's code
            first = first or error
    return _answer(UNKNOWN, f"products with J could not be taken ({type(first).__name__}: {first})".partition("\n")[0])


def _compare(game: Evaluator, params: Params, batch: Batch) -> Answer:
    def v(at: Params) -> Params:
        here = _variables({**params, **at})
        with torch.enable_grad():
            found = _gradients(game.losses(here, batch), here)
        return {
            i: {k: torch.zeros_like(params[i][k]) if x is None else x for k, x in own.items()}
            for i, own in found.items()
        }

    here, dtype = v(params), leaves(params)[0].dtype
    if dtype not in STEPS or not all(bool(x.isfinite().all()) for x in leaves(here)):
        return _answer(UNKNOWN, "v is not finite at the start")
    J, zero = LocalGame.of(game, params, batch).jacobian(), zeros_like(params)
    rng = torch.Generator().manual_seed(0)
    u: Params = {i: {k: _direction(x, tree, rng) for k, x in tree.items()} for i, tree in params.items() if tree}

    def products() -> dict[str, Params]:
        return {j: J.mv({**zero, j: u[j]}) for j in u}

    if game.zero_sum and len(u) == 2:
        J_u = products()
        _zero_sum(game, u, J_u, OPPOSED[dtype])
        everyone = add(*J_u.values())
    else:
        J_u, everyone = {}, J.mv({**zero, **u})
    # First move all players at once, which is usually enough. If J seems to differ, move one player after another.
    # Networks have kinks, and a difference across a kink is no derivative: J differs only if differences with two very
    # different steps both say so.
    big, small = STEPS[dtype]
    if not any(_differing(_slopes(v, here, params, {"everyone": (u, everyone)}, big), dtype, CLOSE)):
        return _AGREES
    J_u = J_u or products()
    one_by_one = {j: ({j: u[j]}, J_u[j]) for j in u}
    first = _slopes(v, here, params, one_by_one, big)
    if not any(_differing(first, dtype)):
        return _AGREES
    return _judged(first, _slopes(v, here, params, one_by_one, small), dtype)


def _direction(x: Tensor, tree: Tree, rng: torch.Generator) -> Tensor:
    """A random direction, scaled by the largest parameter of its player."""
    size = max(map(_largest, tree.values())) or 1.0
    return size * torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x)


@dataclass(frozen=True)
class _Slope:
    """A block of J times u, once as a product and once as a difference of v, and the ``noise`` of the difference."""

    name: str
    product: Tensor
    difference: Tensor
    noise: float

    @property
    def size(self) -> float:
        return max(_largest(self.product), _largest(self.difference))

    @property
    def error(self) -> float:
        return _largest(self.product - self.difference)


def _slopes(
    v: LinearMap, here: Params, params: Params, moves: dict[str, tuple[Params, Params]], h: float
) -> list[_Slope]:
    """Each block of J u, together with the difference of ``v`` with step ``h``.

    ``moves`` are pairs of u and J u by the name of who moves; ``here`` is v at ``params``.
    """
    found = []
    for who, (u, J_u) in moves.items():
        at = {i: params[i] for i in u}
        up, down = (v(add(at, scale(u, s * h))) for s in (1, -1))
        for i, rows in J_u.items():
            for k, product in rows.items():
                noise = 100 * torch.finfo(product.dtype).eps * _largest(here[i][k]) / h
                noise += _largest(up[i][k] - 2 * here[i][k] + down[i][k]) / h  # the error of a one-sided difference
                name = f"what {who} does to the gradient of {i}/{k}"
                found.append(_Slope(name, product, (up[i][k] - down[i][k]) / (2 * h), noise))
    return found


def _differing(slopes: list[_Slope], dtype: torch.dtype, close: float = 1.0) -> list[bool]:
    """Which products are not equal to their differences; ``close`` is a factor on the error that is allowed."""
    floor = FLOOR[dtype] * max((s.size for s in slopes), default=0.0)
    return [s.error > s.noise + close * (SHARE[dtype] * s.size + floor) for s in slopes]


def _judged(first: list[_Slope], second: list[_Slope], dtype: torch.dtype) -> Answer:
    """The answer from differences with two step sizes: J differs if both say so and agree with each other."""
    both = [a and b for a, b in zip(_differing(first, dtype), _differing(second, dtype), strict=True)]
    rough, worst, where = False, 0.0, ""
    for a, b, differ in zip(first, second, both, strict=True):
        if not differ:
            continue
        if _largest(a.difference - b.difference) > 0.1 * min(a.error, b.error):
            rough = True
        elif b.error / b.size > worst:
            worst, where = b.error / b.size, b.name
    if where:
        return _answer(
            DIFFERS,
            f"J is not the derivative of v as it is played: {where} is off by {min(worst, 1.0):.0%} (a number is taken "
            "out of a tensor in the losses, or a derivative is written by hand), so what J says is of another game",
            worst,
        )
    return _answer(UNKNOWN, "differences of v at the start are too rough to compare J with") if rough else _AGREES


def _largest(x: Tensor) -> float:
    return float(x.detach().abs().max()) if x.numel() else 0.0


def _zero_sum(game: Evaluator, u: Params, J_u: dict[Player, Params], share: float) -> None:
    """Raise UsageError unless <w, J_ij u> = -<u, J_ji w>, as the game of two players claims."""
    i, j = u

    def paired(row: Player, col: Player) -> tuple[Tensor, Tensor]:
        terms = [(u[row][k] * J_u[col][row][k]).sum() for k in u[row]]
        sizes = [u[row][k].norm() * J_u[col][row][k].norm() for k in u[row]]
        return torch.stack(terms).sum(), torch.stack(sizes).sum()

    (a, big_a), (b, big_b) = paired(i, j), paired(j, i)
    if float((a + b).abs()) > share * float(torch.maximum(big_a, big_b)):
        raise UsageError(
            f"{_name(game)} claims zero_sum, but what {j} does to {i} and {i} to {j} is not opposite "
            f"({float(a):.9g} and {float(b):.9g} along one pair of directions): leave zero_sum out."
        )


def _answer(status: str, words: str, error: float | None = None) -> Answer:
    return {"status": status, "words": words, "error": error}


_AGREES = _answer(AGREES, "")


def _name(game: Evaluator) -> str:
    return called(innermost(game))

"""What is asked of a game once, before it is played.

Its losses must be a function of parameters and batch, everyone's loss must depend on their own parameters, and a claim
of ``zero_sum`` must hold: else UsageError. Whether J is the derivative of v is asked too, and the answer recorded:
a number taken out of a tensor (``.item()``), or a custom derivative, is held fixed in J and moves in play.
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
from ..derivatives.products import Cost, Linear
from ..errors import UsageError, UserError
from ..game.game import innermost
from ..game.tree import Batch, Params, Player, Tree, add, leaves, scale, tmap, zeros_like
from ..solver.state import State

AGREES, DIFFERS, UNKNOWN = "agrees", "differs", "unknown"
STEPS = {torch.float64: (1e-5, 1e-8), torch.float32: (3e-3, 3e-4)}  # of differences, relative to the parameters
FLOOR = {torch.float64: 1e-6, torch.float32: 1e-2}  # a product so small beside the largest is not told from rounding
SHARE = {torch.float64: 1e-3, torch.float32: 3e-2}  # by which a product may be off, of its own size
OPPOSED = {torch.float64: 1e-8, torch.float32: 3e-3}  # by which J_ij may miss -J_ji^T where zero_sum is claimed
CLOSE = 1e-2  # of that, where all blocks of a row are asked at once: small ones must not be lost beside large ones

Answer = dict[str, Any]  # status, words, error: as run.json holds it under checks.jacobian


def check_game(game: Evaluator, state: State) -> Answer:
    """Ask all of it of the game where a run begins, of an ensemble member 0; whether J is the derivative of v.

    Raises UsageError for a game that cannot be played as it stands. Any other error is left to the first step.
    """
    try:
        quiet = dataclasses.replace(game, trace=False, cost=Cost())
        batch = quiet.draw(state.generators(), quiet.refresh(state.params, state.buffers))
        alone, params, batch = single_member(quiet, state.params, batch)
        _is_a_function(alone, params, batch)
    except UsageError:
        raise
    except Exception as error:  # anyone's code: it fails again in the first step, where the run tells of it
        return _answer(UNKNOWN, f"the game could not be evaluated ({type(error).__name__})")
    return jacobian_check(alone, params, batch)


def single_member(game: Evaluator, params: Params, batch: Batch) -> tuple[Evaluator, Params, Batch]:
    """Member 0 as a game by itself, eager, its cost counted nowhere."""
    alone = dataclasses.replace(game, members=None, trace=False, cost=Cost())
    return alone, game.member(params, 0), game.member(dict(batch), 0)


def _is_a_function(game: Evaluator, params: Params, batch: Batch) -> None:
    """Raise UsageError unless two evaluations agree, each player's loss is one of the player's own parameters, and none
    is of what an evaluation before left behind.
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
        # Sums on a GPU have no fixed order, and LAPACK rounds by where a matrix lies in memory.
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
    """``params`` as torch.autograd differentiates by them."""
    return tmap(lambda x: x.detach().requires_grad_(), params)


def _gradients(losses: dict[Player, Tensor], params: Params) -> dict[Player, dict[str, Tensor | None]]:
    """v by plain torch.autograd, which owes nothing to torch.func; None where a loss does not depend on a tensor.

    It is also several times as fast.
    """
    v = {}
    for i, own in params.items():
        found: Sequence[Tensor | None] = [None] * len(own)
        if own and losses[i].requires_grad:
            found = torch.autograd.grad(losses[i], list(own.values()), allow_unused=True, retain_graph=True)
        v[i] = dict(zip(own, found, strict=True))
    return v


def jacobian_check(game: Evaluator, params: Params, batch: Batch) -> Answer:
    """Whether products with J are differences of v, block by block, in double precision where the game can be.

    Raises UsageError where the game claims ``zero_sum`` and J_ij = -J_ji^T does not hold.
    """
    wide = dataclasses.replace(game, dtype=torch.float64)
    first: UserError | Exception | None = None
    for table in (wide, game):
        try:
            return _compare(table, table.cast(params), table.cast(batch))
        except UsageError:
            raise
        except Exception as error:  # constants of another dtype, no second derivative, or anything of anyone's code
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
    # All players at once, as a rule enough. Where not, one after another; and as networks have kinks, a difference
    # over which is no derivative, only what two very different steps agree on is held against J.
    big, small = STEPS[dtype]
    if not any(_differing(_slopes(v, here, params, {"everyone": (u, everyone)}, big), dtype, CLOSE)):
        return _AGREES
    J_u = J_u or products()
    apart = {j: ({j: u[j]}, J_u[j]) for j in u}
    first = _slopes(v, here, params, apart, big)
    if not any(_differing(first, dtype)):
        return _AGREES
    return _judged(first, _slopes(v, here, params, apart, small), dtype)


def _direction(x: Tensor, tree: Tree, rng: torch.Generator) -> Tensor:
    """A random direction as long as the parameters of its player are large."""
    size = max(map(_largest, tree.values())) or 1.0
    return size * torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x)


@dataclass(frozen=True)
class _Slope:
    """A block of J along u, by a product and by a difference, and what the latter may be off by."""

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


def _slopes(v: Linear, here: Params, params: Params, moves: dict[str, tuple[Params, Params]], h: float) -> list[_Slope]:
    """What differences of ``v``, ``here`` at ``params``, say of each block of J u; ``moves`` are pairs of u and J u."""
    found = []
    for who, (u, J_u) in moves.items():
        at = {i: params[i] for i in u}
        up, down = (v(add(at, scale(u, s * h))) for s in (1, -1))
        for i, rows in J_u.items():
            for k, product in rows.items():
                noise = 100 * torch.finfo(product.dtype).eps * _largest(here[i][k]) / h
                noise += _largest(up[i][k] - 2 * here[i][k] + down[i][k]) / h  # of a difference to one side
                name = f"what {who} does to the gradient of {i}/{k}"
                found.append(_Slope(name, product, (up[i][k] - down[i][k]) / (2 * h), noise))
    return found


def _differing(slopes: list[_Slope], dtype: torch.dtype, close: float = 1.0) -> list[bool]:
    """Which products are not their differences; ``close`` tightens what is let pass."""
    floor = FLOOR[dtype] * max((s.size for s in slopes), default=0.0)
    return [s.error > s.noise + close * (SHARE[dtype] * s.size + floor) for s in slopes]


def _judged(first: list[_Slope], second: list[_Slope], dtype: torch.dtype) -> Answer:
    """What two differences say together."""
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
    """Raise UsageError unless <w, J_ij u> = -<u, J_ji w>, as the game of two players says."""
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
    return type(innermost(game)).__name__

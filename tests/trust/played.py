"""A case as counterplay plays it, beside the reference: each check gives (what, found, expected, error allowed)."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.regularizer import regularized

from ..support.cases import identical
from . import losses
from .built import Built
from .grammar import FIRST_ORDER
from .reference import Reference, Untold, slope
from .steps import Play

Compared = Iterator[tuple[str, Tensor, Tensor, float]]
ADAPTIVE = ("rmsprop", "adam")
SEED = 3


def scheduled(step: int) -> float:
    """What the losses of a schedule are multiplied by in a step."""
    return 1 + 0.1 * step


def _double(batch: Mapping[str, Any]) -> dict[str, Any]:
    return {k: x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for k, x in batch.items()}


class Played:
    def __init__(self, built: Built, thorough: bool = True) -> None:
        self.built, self.case, self.thorough = built, built.case, thorough
        self.game, self.solver = built.game, built.solver
        self.seen: list[Any] = []

    # ------------------------------------------------------------------------------------------------------- runs

    def _run(self, **options: Any) -> cp.Result:
        c = self.case
        given: dict[str, Any] = {"steps": c.steps, "seed": SEED, "members": c.members, "trace": False, "compile": False}
        losses.SCHEDULE[0] = 1.0
        watching = [self._scheduled, *options.pop("observers", ())]
        given["regularizers"] = self.built.regularizers
        return cp.run(self.game, self.solver, observers=watching, **{**given, **options})

    @staticmethod
    def _scheduled(seen: Any) -> None:
        losses.SCHEDULE[0] = scheduled(seen.step + 1)

    def run(self) -> None:
        self.result = self._run(observers=[self.seen.append])
        self.drawn = self.built.sample.like(self.member(self.seen[0].batch, 0))
        self.reference = Reference(self.built, self.thorough)

    def log(self, folder: str) -> None:
        self._run(out=f"{folder}/run")

    def member(self, tree: Any, m: int) -> Any:
        if self.case.members is None:
            return tree
        return tree_map(lambda x: x[m] if isinstance(x, Tensor) and x.dim() else x, tree)

    def batch(self, batch: Mapping[str, Any], m: int) -> dict[str, Any]:
        """Member m's batch in float64, whatever of it is no tensor as it was drawn."""
        own = dict(self.member(dict(batch), m))
        for drawn in self.built.sample.drawn:
            if torch.equal(drawn["x"], own["x" if "x" in own else "real"]):
                own.update({k: x for k, x in drawn.items() if not isinstance(x, Tensor)})
        return _double(own)

    @property
    def each(self) -> range:
        return range(self.case.members or 1)

    def allowed(self, expected: Tensor, rounding: float = 1e-9) -> float:
        """An error of rounding, for numbers of the size of ``expected``."""
        single = self.case.dtype == "float32"
        return max(rounding, 3e-4 if single else 0.0) * (float(expected.abs().max()) + (0.1 if single else 1e-3))

    def whole(self, params: cp.Params) -> Tensor:
        return self.reference.ravel(params)

    # ----------------------------------------------------------------------------------------------------- checks

    def parameters(self) -> Compared:
        """Everything trainable is there, at its start; nothing else moves."""
        first, last = self.seen[0].params, self.result.params
        for i, module in self.built.modules().items():
            known = dict(module.named_parameters(remove_duplicate=False))
            for k in self.reference.shapes[i]:
                if k not in first[i]:
                    yield f"{i}/{k}, which is missing", torch.zeros(0), torch.zeros(1), 0.0
            for k, x in first[i].items():
                for m in self.each:
                    yield f"{i}/{k} at the start", self.member(x, m), known[k], self.allowed(known[k], 1e-12)
                    if not known[k].requires_grad:
                        yield f"the frozen {i}/{k}", self.member(last[i][k], m), known[k], 0.0
        if self.case.tie:
            a, b = ({k: x for k, x in last[i].items() if k.startswith("first.")} for i in self.case.players[:2])
            for k in a.keys() & b.keys():
                yield f"the shared {k}", a[k], b[k], 0.0

    def jump(self, x: Tensor, batch: Mapping[str, Any]) -> float:
        """By how much v jumps at ``x``: at a kink (0 before a relu, say) rounding decides which side it is of."""
        if self.case.activation != "relu":
            return 0.0
        if self.reference.by_differences:  # which jump over kinks far away, too
            return math.inf
        double = self.case.dtype == "float64"
        tiny = 1e-9 if double else 1e-4
        e = tiny * (1 + x.abs()) * torch.randn(len(x), generator=torch.Generator().manual_seed(4), dtype=x.dtype)
        up, here, down = (self.reference.v(x + s * e, batch) for s in (1, 0, -1))
        apart = max(float((here - other).abs().max()) for other in (up, down))
        return 3 * apart if not double or apart > 1e3 * tiny * float(here.abs().max()) else 0.0

    def field(self) -> Compared:
        """The losses and v of the first step."""
        seen = self.seen[0]
        alternating = "altgd" in (self.case.solver, dict(self.case.options).get("solver"))
        moves = self.case.players[:1] if alternating else self.case.players
        losses.SCHEDULE[0] = 1.0
        for m in self.each:
            x, batch = self.whole(self.member(seen.params, m)), self.batch(seen.batch, m)
            v, expected = self.reference.evaluate(x, batch)
            jump = self.jump(x, batch)
            for i in moves:
                if i not in seen.info.gradient:
                    continue
                loss = self.member(seen.info.losses[i], m)
                yield f"loss of {i}, member {m}", loss, expected[i], self.allowed(expected[i])
                for k, x in self.reference.unravel(v)[i].items():
                    found = self.member(seen.info.gradient[i][k], m)
                    yield f"v of {i}/{k}, member {m}", found, x, self.allowed(v, 1e-8) + jump

    def steps(self) -> Compared:
        """The points of the run against the published steps."""
        c = self.case
        if self.result.status == "diverged" or (c.dtype == "float32" and c.rule in ADAPTIVE):
            return
        hidden = c.regularizer == "gradient-penalty" or (c.members is not None and c.data != "constant")
        if c.solver == "altgd" and hidden:
            return  # what the later moves of a step draw is not seen from outside
        close = (1e-8 if c.solver in FIRST_ORDER else 1e-5) * (10 if c.rule in ADAPTIVE else 1)
        for m in self.each:
            play = Play(self.reference, m)
            x = self.whole(self.member(self.seen[0].params, m))
            draws = itertools.cycle(self.drawn) if c.data == "constant" else iter(self.drawn)
            for n, seen in enumerate(self.seen[: c.steps]):
                losses.SCHEDULE[0] = scheduled(n)
                if c.solver not in FIRST_ORDER and self.jump(x, self.batch(seen.batch, m)) > 0:
                    return  # v jumps at this very point, so that J, of which the step is made, is not defined
                there = self.seen[n + 1].params if n + 1 < len(self.seen) else self.result.params
                found = self.whole(self.member(there, m))
                try:
                    if c.solver == "altgd" and c.members is None:
                        y = play.step(x, lambda d=draws, b=seen.batch: self._moved(next(d), b), found)
                    else:
                        y = play.step(x, lambda b=seen.batch, m=m: self.batch(b, m), found)
                except Untold:
                    return
                if y is None or not self._told(seen, x, m):
                    return
                unsure = self.reference.doubt * float(play.lr.max())
                if unsure <= 1e-3 * float((y - x).abs().max()):  # else there is a kink on the way
                    yield f"step {n} of member {m}", found - x, y - x, self.allowed(y - x, close) + 30 * unsure
                x = found

    def _told(self, seen: Any, x: Tensor, m: int) -> bool:
        """Whether the step is what its formula says: not of a solve that says it did not converge, and not of a rule
        that divides by a gradient which is all rounding."""
        if not bool(self.member({"it": seen.info.inner.get("converged", torch.tensor(True))}, m)["it"]):
            return False
        v = self.reference.v(x, self.batch(seen.batch, m)).abs() if self.case.rule in ADAPTIVE else torch.ones(1)
        return float(v[v > 0].min()) > 1e-5 * float(v.max()) if bool((v > 0).any()) else True

    def _moved(self, drawn: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch of another move in the step that began with ``batch``: its buffers, and what was drawn."""
        if self.case.form == "gan":
            drawn = {"real": drawn["x"], "noise": drawn["z"]}
        return _double({**batch, **drawn})

    def products(self) -> Compared:
        """v, J u and J^T w, by LocalGame, a little off the start."""
        losses.SCHEDULE[0] = 1.0
        table = Evaluator(regularized(self.game, *self.built.regularizers), self.case.members)
        rng = torch.Generator().manual_seed(1)

        def random(like: cp.Params) -> cp.Params:
            return tree_map(lambda x: torch.randn(x.shape, generator=rng, dtype=x.dtype), like)

        here = tree_map(lambda x, e: x + 0.1 * e, self.seen[0].params, random(self.seen[0].params))
        u, w = random(here), random(here)
        local = cp.LocalGame.of(table, here, self.seen[0].batch)
        found, Ju, Jw = local.gradient(), local.jacobian().mv(u), local.jacobian().rmv(w)
        for m in self.each:
            batch, x = self.batch(self.seen[0].batch, m), self.whole(self.member(here, m))
            v = self.reference.v(x, batch)
            if math.isinf(jump := self.jump(x, batch)):
                return
            close = self.allowed(v, 1e-8) + jump
            yield f"v off the start, member {m}", self.whole(self.member(found, m)), v, close
            du, dw = self.whole(self.member(u, m)), self.whole(self.member(w, m))
            expected, unsure = slope(lambda x, b=batch: self.reference.v(x, b), x, du / du.norm())
            expected, unsure = expected * du.norm(), unsure * float(du.norm())
            size = float(expected.abs().max())
            if unsure <= 1e-3 * (size + 1e-3):  # else there is a kink on the way
                close = 1e-6 * (size + 1e-3) + 3 * unsure
                yield f"J u, member {m}", self.whole(self.member(Ju, m)), expected, close
                both = (dw @ expected).reshape(())
                yield (
                    f"J^T w, member {m}",
                    (self.whole(self.member(Jw, m)) @ du).reshape(()),
                    both,
                    close * float(dw.abs().sum()),
                )

    def update(self) -> Compared:
        """F' against differences of the solver's own step."""
        losses.SCHEDULE[0] = 1.0
        table = Evaluator(regularized(self.game, *self.built.regularizers))
        state = tree_map(lambda x: x.clone(), (self.seen[-1].params, self.seen[-1].memory))
        batch = self.seen[0].batch
        leaves, structure = tree_flatten(state)
        moving = [n for n, x in enumerate(leaves) if x.is_floating_point()]
        sizes = [leaves[n].numel() for n in moving]

        def step(z: Tensor) -> Tensor:
            filled = list(leaves)
            for n, part in zip(moving, z.split(sizes), strict=True):
                filled[n] = part.reshape(leaves[n].shape)
            params, memory = tree_unflatten(filled, structure)
            with torch.no_grad():
                for _ in range(self.solver.period):
                    params, memory, _ = self.solver.step(table, params, memory, lambda: batch)
            after = tree_flatten((params, memory))[0]
            return torch.cat([after[n].detach().flatten() for n in moving])

        z = torch.cat([leaves[n].flatten() for n in moving])
        u = torch.randn(len(z), generator=torch.Generator().manual_seed(2), dtype=z.dtype)
        if self.case.rule in ADAPTIVE or self.case.solver == "acgd":
            return  # roots of second moments that are nearly zero: no difference is small enough
        F = cp.update_jacobian(table, self.solver, params=state[0], memory=state[1], batch=batch)
        expected, unsure = slope(step, z, u / u.norm())
        size = float(expected.abs().max())
        if unsure <= 1e-3 * (size + 1e-3):
            yield "F' u", F @ (u / u.norm()), expected, 1e-6 * (size + 1e-3) + 3 * unsure

    def _again(self, other: cp.Result, rounding: float) -> Compared:
        for name, a, b in (
            ("parameters", other.params, self.result.params),
            ("memory", other.memory, self.result.memory),
        ):
            for k, (x, y) in enumerate(zip(tree_flatten(a)[0], tree_flatten(b)[0], strict=True)):
                yield f"{name}, tensor {k}", x, y, self.allowed(y, rounding)

    def traced(self) -> Compared:
        """The same run by traced graphs, tensor by tensor."""
        self._fresh()
        yield from self._again(self._run(trace=True), 1e-9)

    def compiled(self) -> Compared:
        self._fresh()
        yield from self._again(self._run(compile=True), 1e-9)

    def resumed(self) -> Compared:
        """A run that was stopped and went on, bit for bit."""
        self._fresh()
        stops = iter([False] * (self.case.steps // 2) + [True] + [False] * 100)
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder) / "run"
            self._run(out=where, stop=lambda: next(stops))
            self._fresh()
            losses.SCHEDULE[0] = 1.0  # as in another process
            if self.case.twist == "scheduled":
                yield from self._refused(where)
                return
            other = cp.resume(
                where, game=self.game, solver=self.solver, regularizers=self.built.regularizers,
                observers=[self._scheduled],
            )  # fmt: skip
        ends = (tree_flatten((r.params, r.memory))[0] for r in (other, self.result))
        same = identical(*ends)
        yield "the resumed run's bits", torch.tensor(float(same)), torch.tensor(1.0), 0.0

    def _refused(self, where: Path) -> Compared:
        """What another process cannot know is asked for, in a sentence."""
        told = ""
        try:
            cp.resume(where, game=self.game, solver=self.solver, regularizers=self.built.regularizers)
        except cp.UsageError as error:
            told = str(error)
        said = "what the losses read besides parameters and batch has changed" in told
        yield "the refusal to go on", torch.tensor(float(said)), torch.tensor(1.0), 0.0

    def _fresh(self) -> None:
        """The game made anew, as another process would have it."""
        self.built = Built(self.case)
        self.game = self.built.game

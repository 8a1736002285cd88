"""The grammar of the trust suite: ``case(n)`` is the n-th random game, solver and way of playing, and always the same.

A case is a handful of choices; ``Built`` makes of them what a user would write. Every net is made afresh from the
case's number, so that whoever asks for one gets it as it was given.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import counterplay as cp

from . import games, layers, losses

FORMS = ("modules", "losses", "game", "gan")
FIRST_ORDER = ("simgd", "altgd", "extragradient", "past-extragradient", "ogda")
RULES = ("sgd", "momentum", "rmsprop", "adam")


@dataclass(frozen=True)
class Case:
    number: int
    form: str = "modules"
    players: tuple[str, ...] = ("generator", "discriminator")
    stacks: tuple[tuple[str, ...], ...] = ((), ())  # the layers of each player between its first and its last
    activation: str = "tanh"
    loss: str = "wgan"
    twist: str = "none"
    data: str = "generator"
    age: str = "none"  # what a game of one's own keeps between steps
    freeze: bool = False  # the first player's first layer
    tie: bool = False  # the players share their first layer
    dtype: str = "float64"
    regularizer: str = "none"
    solver: str = "simgd"
    options: tuple[tuple[str, Any], ...] = ()
    rule: str = "sgd"
    members: int | None = None
    trace: bool = False
    compile: bool = False
    resume: bool = False
    steps: int = 1

    @property
    def features(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of everything in it that is not the plainest choice."""
        plain = Case(self.number)
        for name in sorted({name for stack in self.stacks for name in stack}):
            yield "layer", name
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("number", "stacks", "options") and value != getattr(plain, field.name):
                yield field.name, str(value)

    @property
    def must(self) -> bool:
        """Whether everything in it is common and pure, so that it may not be refused."""
        stacked = {name for stack in self.stacks for name in stack}
        own = layers.MUST.keys()
        return (
            stacked <= own
            and self.twist in losses.MUST
            and self.data in losses.DATA_MUST
            and (self.solver in FIRST_ORDER or self.twist not in losses.CUTTING)  # J is then not what is played
            and self.age in ("none", "tensor")
            and not self.tie
            and not (self.members and self.data == "number")
        )

    @property
    def listed(self) -> bool:
        """Whether the members differ in their step sizes."""
        return isinstance(dict(self.options).get("lr"), list)

    @property
    def stateful(self) -> bool:
        """Whether playing may change the modules."""
        return any(name in layers.MAY for stack in self.stacks for name in stack)

    @property
    def random(self) -> str | None:
        """What draws numbers that the run's generator knows nothing of."""
        for name in (n for stack in self.stacks for n in stack):
            if name in layers.RANDOM:
                return f"layer {name}"
        if self.twist in losses.RANDOM:
            return f"twist {self.twist}"
        return f"data {self.data}" if self.data in losses.DATA_RANDOM else None


def case(n: int, light: bool = False) -> Case:
    """The n-th case; ``light`` ones take a fifth of a second each."""
    r = random.Random(n)
    form = r.choices(FORMS, (5, 2, 1, 2))[0]
    count = 2 if form == "gan" else r.choices((1, 2, 3), (2, 6, 2))[0]
    gan = (count == 2 and r.random() < 0.7) or form == "gan"
    players = ("generator", "discriminator") if gan else ("a", "b", "c")[:count]
    known = list(layers.MUST if form == "modules" else layers.MUST.keys() - games.LISTED)
    odd = sorted(layers.MAY)
    strange = r.random()  # at most one strange thing in a case: a refusal hides what else there is
    stacks = [
        [r.choice(sorted(known)) for _ in range(r.choices((0, 1, 2), (2, 5, 0 if light else 2))[0])] for _ in players
    ]
    where = r.randrange(count)
    if strange < 0.12:
        stacks[where].append(r.choice([name for name in odd if form == "modules" or name not in games.LISTED]))
    elif strange < 0.18:
        stacks[where].append(r.choice(sorted(layers.RANDOM)))
    twist = "none"
    if form != "gan":
        if 0.18 <= strange < 0.26:
            twist = r.choice(losses.MAY)
        elif 0.26 <= strange < 0.32:
            twist = r.choice(losses.RANDOM)
        elif strange > 0.32 and r.random() < 0.4:
            twist = r.choice(losses.MUST)
    data = r.choices(losses.DATA_MUST, (6, 2, 1, 1))[0]
    if 0.32 <= strange < 0.38:
        data = r.choice(losses.DATA_RANDOM)
    elif 0.38 <= strange < 0.39:
        data = r.choice(losses.DATA_MAY)
    if form == "gan":
        data = "generator"
    members = r.choices((None, 2, 3), (7, 2, 0 if light else 1))[0]
    solver, options = _solver(r, players, members, LIGHT if light else SOLVERS)
    cutting = twist in losses.CUTTING
    return Case(
        number=n,
        form=form,
        players=players,
        stacks=tuple(map(tuple, stacks)),
        activation=r.choices(sorted(layers.ACTIVATIONS), [1 if a == "relu" else 3 for a in sorted(layers.ACTIVATIONS)])[
            0
        ],
        loss=r.choice(losses.NAMED_LOSSES if form == "gan" else losses.GAN_LOSSES) if gan else "ring",
        twist=twist,
        data=data,
        age=r.choice(list(games.AGES)) if form == "game" else "none",
        freeze=r.random() < 0.1,
        tie=strange > 0.97 and count > 1 and form == "modules",  # else the user took copies for the players
        dtype="float32" if r.random() < 0.12 else "float64",
        regularizer=_regularizer(r, form, cutting or light),
        solver=solver,
        options=options,
        rule=r.choices(RULES, (5, 1, 1, 2))[0] if "rule" in fields_of(solver) else "sgd",
        members=members,
        trace=r.random() < 0.3 and (not light or (n % 10 == 0 and solver in FIRST_ORDER)),
        compile=r.random() < (0.0 if light else 0.03),
        resume=r.random() < (0.1 if light else 0.3),
        steps=r.choice((1, 1, 2) if light else (1, 2, 3)),
    )


ONE_PLAYER = (
    "simgd", "altgd", "extragradient", "past-extragradient", "ogda", "conopt", "implicit-euler", "hamiltonian",
    "lookahead-minmax",
)  # fmt: skip
SOLVERS = (
    *ONE_PLAYER, "jare", "reg-generator-only", "reg-discriminator-only", "adversarial-extrapolation", "cgd", "lcgd",
    "acgd", "sga", "la", "lola", "sos", "stackelberg", "follow-the-ridge", "unrolled",
)  # fmt: skip


LIGHT = ("simgd", "altgd", "extragradient", "past-extragradient", "ogda", "conopt", "jare", "cgd", "lcgd", "sga", "la")


def _solver(
    r: random.Random, players: tuple[str, ...], members: int | None, known: tuple[str, ...]
) -> tuple[str, tuple[tuple[str, Any], ...]]:
    name = r.choices(known, [3 if n in ("simgd", "altgd", "cgd") else 1 for n in known])[0]
    if len(players) == 1:
        name = r.choice(ONE_PLAYER)
    sizes = (0.02, 0.05, 0.1)
    options: dict[str, Any] = {"lr": r.choice(sizes)}
    if r.random() < 0.2:
        options["lr"] = {i: r.choice(sizes) for i in players}
    elif members and r.random() < 0.5:
        options["lr"] = [r.choice(sizes) for _ in range(members)]
    if name in ("conopt", "jare", "reg-generator-only", "reg-discriminator-only", "adversarial-extrapolation"):
        options["gamma"] = r.choice((0.1, 0.5, 2.0))
    if name == "altgd":
        options["repeats"] = r.choice((1, 2))
    if name == "sga":
        options.update(strength=r.choice((0.3, 1.0)), align=r.random() < 0.5)
    if name == "unrolled":
        options["k"] = 2
    if name == "lookahead-minmax":
        options.update(k=2, solver=r.choice(("simgd", "extragradient", "altgd")))
    if name in ("cgd", "acgd"):
        options["method"] = r.choice(("auto", "dense", "gmres", "cg"))
    return name, tuple(options.items())


def fields_of(solver: str) -> set[str]:
    made: Any = cp.make("solver", solver)
    return {f.name for f in dataclasses.fields(made)}


def _regularizer(r: random.Random, form: str, plain: bool) -> str:
    if r.random() < (0.4 if form == "gan" else 0.85):
        return "none"
    known = ["l2", "spectral-norm"] if form != "gan" else ["l2", "r1", "gradient-penalty", "spectral-norm"]
    return r.choice(known if plain else [*known, "consensus"])


def layer_alone(name: str, form: str) -> list[Case]:
    """One layer and nothing else: by a solver that needs J, as an ensemble, and traced."""
    lr = ("lr", 0.1)
    return [
        Case(1, form, stacks=((), (name,)), loss="saturating", solver="cgd", options=(lr,)),
        Case(2, form, stacks=((name,), ()), loss="bce", members=2, options=(lr,), resume=True),
        Case(
            3,
            form,
            stacks=((name,), ()),
            loss="non-saturating",
            solver="conopt",
            options=(lr, ("gamma", 0.5)),
            trace=True,
        ),
    ]


def twist_alone(twist: str, data: str = "generator") -> list[Case]:
    """One twist of the last loss, or way of drawing data, and nothing else."""
    lr, loss = ("lr", 0.1), "least-squares"
    return [
        Case(4, loss=loss, twist=twist, data=data, options=(lr,), members=2, steps=2),
        Case(5, loss=loss, twist=twist, data=data, options=(lr, ("gamma", 0.5)), solver="conopt", trace=True, steps=2),
        Case(
            6, "losses", ("a", "b", "c"), ((), (), ()), loss="ring", twist=twist, data=data, options=(lr,), resume=True
        ),
    ]


def age_alone(age: str) -> list[Case]:
    """A game that keeps something between steps: stopped and resumed, as an ensemble, and traced."""
    plain = Case(7, "game", age=age, options=(("lr", 0.1),), steps=3)
    return [
        dataclasses.replace(plain, resume=True),
        dataclasses.replace(plain, members=2),
        dataclasses.replace(plain, trace=True),
    ]


SIMPLER = (
    "twist", "data", "age", "freeze", "tie", "dtype", "regularizer", "rule", "members", "trace", "compile", "resume",
    "steps", "activation", "form",
)  # fmt: skip


def smaller(c: Case) -> Iterator[Case]:
    """The case without one of its features, for each that it has."""
    plain = Case(c.number)
    for i, stack in enumerate(c.stacks):
        for n in range(len(stack)):
            less = (*stack[:n], *stack[n + 1 :])
            yield dataclasses.replace(c, stacks=(*c.stacks[:i], less, *c.stacks[i + 1 :]))
    for name in SIMPLER:
        if getattr(c, name) != getattr(plain, name) and not (name == "members" and c.listed):
            yield dataclasses.replace(c, **{name: getattr(plain, name)})
    if c.solver != "simgd" or c.options != (("lr", 0.1),):
        yield dataclasses.replace(c, solver="simgd", options=(("lr", 0.1),))

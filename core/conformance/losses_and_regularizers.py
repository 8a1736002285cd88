"""The checks of losses and regularizers, each in a small game."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..errors import UsageError
from ..game.loss import Loss
from ..game.regularizer import regularized
from ..registry.registry import make
from .assertions import Broken, Case, close, require
from .games import game_cases


def losses(name: str) -> Iterator[Case]:
    """The checks of the loss ``name``, as (label, function) pairs."""
    d = torch.linspace(-4.0, 4.0, 9, dtype=torch.float64)

    def finite() -> None:
        loss = make("loss", name)
        for player, value in loss(d, d.flip(0).sin()).items():
            require(torch.isfinite(value), f"the loss of the {player} is not finite on logits from -4 to 4")
        for part in ("f_real", "f_fake", "g_real", "g_fake") if isinstance(loss, Loss) else ():
            out = torch.as_tensor(getattr(loss, part)(d), dtype=torch.float64).expand(9)
            require(torch.isfinite(out).all(), f"{part} is not finite on logits from -4 to 4")
            one = torch.stack(
                [torch.as_tensor(getattr(loss, part)(x[None]), dtype=torch.float64).expand(1)[0] for x in d]
            )
            close(out, one, 1e-14, f"{part} is not elementwise")

    def zero_sum() -> None:
        loss = make("loss", name)
        if not loss.zero_sum:
            return
        sums = [sum(loss(a, b).values()) for a in (d, d.cos()) for b in (d.sin(), d / 3)]
        total = torch.stack(sums)
        close(total, total[:1].expand(4), 1e-12, "zero_sum is claimed, but the sum of the losses is not constant")

    def played() -> None:
        for label, run in game_cases(lambda: make("game", "dirac-gan", loss=name)):
            try:
                run()
            except Broken as error:
                raise Broken(f"on dirac-gan, {label}: {error}") from None

    yield "finite and elementwise", finite
    yield "zero_sum holds", zero_sum
    yield "a game with it passes the checks of games", played


def regularizers(name: str) -> Iterator[Case]:
    """The checks of the regularizer ``name``, as (label, function) pairs."""
    small = {"hidden": 6, "layers": 1, "latent": 3, "batch": 5, "std": 0.3, "loss": "saturating"}
    yield from game_cases(lambda: regularized(make("game", "mixture", **small), make("regularizer", name)))

    def fits() -> None:
        """A regularizer that does not suit a game must refuse it with a UsageError."""
        regularizer = make("regularizer", name)
        try:
            regularized(make("game", "quadratic"), regularizer)
        except UsageError:
            pass

    yield "a game it does not suit is refused in words", fits

"""What losses and regularizers do to the smallest GAN, the Dirac-GAN: the eigenvalues of J at its equilibrium."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import counterplay as cp

from . import kept
from .pictures import figure, save

LR = 0.1
ROUNDING = 1e-9


def loss_lines(name: str) -> list[str]:
    """The section of a loss's page, and its picture: the two players' terms as functions of a logit."""
    loss = cp.make("loss", name)
    said = _on_dirac({"loss": name}, ())
    if not isinstance(loss, cp.Loss):
        return said
    logits = torch.linspace(-3, 3, 121, dtype=torch.float64)
    path = kept.GENERATED / "loss" / f"{name}.svg"
    if kept.load(path.with_suffix(".json"), kept.key(name)) is None:
        fig, (axes,) = figure(1, 2, (3.2, 2.6))
        players = {"discriminator": ("g_real", "g_fake"), "generator": ("f_real", "f_fake")}
        for one, (player, terms) in zip(axes, players.items(), strict=True):
            for term, style in zip(terms, ("-", "--"), strict=True):
                values = getattr(loss, term)(logits) * torch.ones_like(logits)
                one.plot(logits, values, style, label=f"{term}, {'real' if style == '-' else 'generated'} samples")
            one.set(xlabel="logit", title=f"loss of the {player}")
            one.legend(fontsize=7, frameon=False)
        save(fig, path)
        kept.keep(path.with_suffix(".json"), kept.key(name), True)
    return [f"![The terms of the loss {name}]({name}.svg)", "", *said]


def regularizer_lines(name: str) -> list[str]:
    """The section of a regularizer's page."""
    try:
        return _on_dirac({}, (cp.make("regularizer", name),))
    except cp.UserError as error:
        return [f"The Dirac-GAN cannot be played with it and the defaults of its options: {error}", ""]


def _on_dirac(options: dict[str, Any], regularizers: tuple[cp.Regularizer, ...]) -> list[str]:
    game = cp.make("game", "dirac-gan", **options)
    rest = {i: {"value": [0.0]} for i in game.players}
    h = cp.run(
        game, cp.make("solver", "simgd", lr=LR), steps=0, start=rest, spectrum_every=1, history=True,
        regularizers=regularizers,
    ).history  # fmt: skip
    moduli = np.abs(h["spectrum/update_eigenvalues"][0])
    flow = ", ".join(_number(z) for z in h["spectrum/eigenvalues"][0])
    rho = float(moduli.max())
    border = "is on the border of stability"
    meaning = "converges" if rho < 1 - ROUNDING else border if rho < 1 + ROUNDING else "is unstable"
    return [
        f"**On the [Dirac-GAN](../game/dirac-gan.md)**, at its equilibrium, the eigenvalues of J are {flow}. "
        f"simgd with step size {LR:g} {meaning} there: ρ(F') = {rho:.7g}.",
        "",
    ]


def _number(z: complex) -> str:
    real, imag = (0.0 if abs(x) < 1e-12 else x for x in (z.real, z.imag))
    return f"{real:.3g}" if imag == 0 else f"{real:.3g} {'+' if imag > 0 else '−'} {abs(imag):.3g}i"

"""The experiments with networks of ICR: their settings against the paper's, and their measures on logs made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.experiments.experiment import Experiment
from counterplay.plugins.experiments.gans import fresh, icr_table3
from counterplay.plugins.experiments.gans.icr_adam import CANNOT_TELL, IcrAdam
from counterplay.plugins.experiments.gans.icr_cifar10 import IcrCifar10
from counterplay.plugins.experiments.gans.icr_fresh import IcrFresh


def verdicts(experiment: Experiment, found: Mapping[str, Any]) -> dict[str, str]:
    return {claim.name: claim.verdict(found) for claim in experiment.claims()}


# ---------------------------------------------------------------------- over-training with Adam


def losses(first: float, last: float, norms: tuple[float, float] = (1.0, 1.0)) -> dict[str, np.ndarray]:
    """A log of two members with a discriminator's loss, and a norm of the generator's gradient, that go in lines."""
    loss, norm = (np.linspace(a, b, 201)[:, None, None] * np.ones((1, 2, 2)) for a, b in ((first, last), norms))
    return {"step/losses": loss, "step/gradient_norms": norm, "step/step": np.arange(201)}


def test_the_verdicts_on_overtraining_by_adam_follow_losses_and_gradients() -> None:
    right: dict[str, Any] = {}
    for n in (21, 11):
        right |= {f"checkpoint_{n}": losses(1, 1), f"alone_{n}": losses(1, 0, (1, 3)), f"struck_{n}": losses(0, 8)}
    assert right.keys() == IcrAdam().runs("quick").keys()
    found = IcrAdam().measure(right, {})
    assert found["fall_21"].value == pytest.approx(0.0475), "the mean of the last 20 of 201 values"
    assert found["gradient_11"].value == pytest.approx(2.905)
    assert found["struck_21"].value == pytest.approx(0.04 * 95.5 / CANNOT_TELL), "the mean of steps 91 to 100"
    assert set(verdicts(IcrAdam(), found).values()) == {"agrees"}
    harmless = {"alone_21": losses(1, 1, (1, 0.5)), "struck_21": losses(0, 0.5)}
    wrong = verdicts(IcrAdam(), IcrAdam().measure(right | harmless, {}))
    assert {name for name, verdict in wrong.items() if verdict == "disagrees"} == {
        "overtrained-21", "gradient-21", "brittle-21",
    }  # fmt: skip


def test_overtraining_by_adam_has_the_settings_of_the_script() -> None:
    runs = IcrAdam().runs("paper")
    assert [runs[f"checkpoint_{n}"]["steps"] for n in (21, 11)] == [21 * 469, 11 * 469]
    adam = {"name": "adam", "betas": [0.5, 0.999]}
    lr = {"generator": 0.0, "discriminator": 1e-4}
    assert runs["alone_21"]["solver"] == {"name": "altgd", "lr": lr, "rule": adam}
    assert runs["alone_21"]["after"] == "checkpoint_21" and runs["struck_11"]["after"] == "alone_11"
    game = cp.make("game", runs["alone_21"]["game"])
    assert (game.loss, game.batch, game.network.latent) == (cp.make("loss", "non-saturating"), 128, 96)


# ---------------------------------------------------------------------- Table 3

# Loss, optimizer, spectral norm, L2 penalty, weight of the gradient penalty, critic iterations: as printed but for the
# critic iterations of WGAN-GP+ACGD, which moves both players at once.
TABLE_3 = {
    "OGAN-0.0001L2+Adam": ("Lo", "Adam", False, 1e-4, None, 1),
    "OGAN-0.0001L2+ACGD": ("Lo", "ACGD", False, 1e-4, None, 1),
    "OGAN-NOREG+Adam": ("Lo", "Adam", False, None, None, 1),
    "OGAN-NOREG+ACGD": ("Lo", "ACGD", False, None, None, 1),
    "WGAN-GP+Adam": ("Lw", "Adam", False, None, 10, 5),
    "WGAN-SN+Adam": ("Lw", "Adam", True, None, None, 1),
    "WGAN-NOREG+ACGD": ("Lw", "ACGD", False, None, None, 1),
    "WGAN-GP+ACGD": ("Lw", "ACGD", False, None, 10, 1),
    "WGAN-0.01L2+Adam": ("Lw", "Adam", False, 1e-2, None, 1),
    "WGAN-0.001L2+Adam": ("Lw", "Adam", False, 1e-3, None, 1),
    "WGAN-0.001L2+ACGD": ("Lw", "ACGD", False, 1e-3, None, 1),
}


@pytest.mark.parametrize("row", TABLE_3)
def test_a_row_has_the_settings_of_table_3(row: str) -> None:
    run = IcrCifar10(root="somewhere").runs("paper")[row]
    loss, optimizer, spectral_norm, l2, penalty, critic = TABLE_3[row]
    log_trick = "non-saturating" if optimizer == "Adam" else "saturating"
    assert run["game"]["loss"] == (log_trick if loss == "Lo" else "wgan")
    assert run["solver"]["lr"] == 1e-4 and (run["solver"]["name"] == "acgd") == (optimizer == "ACGD")
    assert run["solver"].get("repeats", {"discriminator": 1})["discriminator"] == critic
    asked = {r["name"]: r.get("weight") for r in run["regularizers"]}
    expected: dict[str, float | None] = {"spectral-norm": None} if spectral_norm else {}
    expected |= {"l2": l2} if l2 else {}
    assert asked == expected | ({"gradient-penalty": penalty} if penalty else {})
    made = cp.make("solver", run["solver"])
    if optimizer == "ACGD":
        assert (made.lr, made.beta2, made.eps) == (1e-4, 0.99, 1e-5), "A.5"
    game = cp.make("game", run["game"])
    assert (game.network.latent, game.network.filters, game.batch) == (128, 64, 64)
    assert all(cp.make("regularizer", r) for r in run["regularizers"])


def test_no_row_is_missing_and_the_saturating_loss_by_adam_is_one_more() -> None:
    assert set(icr_table3.ROWS) == {*TABLE_3, icr_table3.SATURATING}
    run = IcrCifar10(root="somewhere").runs("paper")[icr_table3.SATURATING]
    assert run["game"]["loss"] == "saturating" and run["solver"]["rule"]["name"] == "adam"


def curves(score: float, fid: float, cost: float = 1.0) -> dict[str, np.ndarray]:
    """A log of two members whose score goes from 1 to ``score``, with ``cost`` gradients and a product a step."""
    steps = np.arange(9) * 100
    both = np.ones((9, 2))
    return {
        "metrics/step": steps, "metrics/inception_score": np.linspace(1, score, 9)[:, None] * both,
        "metrics/fid": fid * both, "step/step": steps, "step/gradients": cost * steps, "step/products": steps,
    }  # fmt: skip


def test_the_verdicts_on_table_3_follow_scores_distances_and_costs() -> None:
    logs = {row: curves(4.0 if row.endswith("ACGD") else 3.0, 20.0) for row in icr_table3.ROWS}
    logs |= {icr_table3.BEST: curves(5.0, 10.0, cost=3.0), icr_table3.SATURATING: curves(1.0, 90.0)}
    logs[icr_table3.FAST] = curves(3.5, 20.0)
    found = icr_table3.measures(logs)
    assert found["lead_score"].value == pytest.approx(1 * 15 / 16), "over the last two of nine looks"
    assert found["lead_fid"].value == 10.0 and found["cost_ratio"].value == 2.0
    # at 1,600 in all both have cost the same: 400 steps of the one, 800 of the other
    assert found["at_equal_cost"].value == pytest.approx((1 + 2 * 7 / 8) - (1 + 2.5 * 7 / 8))
    assert found["left_saturating"].value == 0.0
    assert found["share_better"].value == pytest.approx(1.0) and found["share_worse"].value == 0.0
    experiment = IcrCifar10()
    right = verdicts(experiment, experiment.measure(logs, {}))
    assert right.pop("tensorflow") == "not run here", "it is a score by another network"
    assert set(right.values()) == {"agrees"}
    swapped = logs | {icr_table3.BEST: curves(3.6, 30.0), "OGAN-NOREG+Adam": logs["OGAN-NOREG+ACGD"],
                      "OGAN-NOREG+ACGD": logs["OGAN-NOREG+Adam"]}  # fmt: skip
    wrong = verdicts(experiment, experiment.measure(swapped, {}))
    assert wrong["highest-score"] == wrong["lowest-fid"] == wrong["dearer"] == "disagrees"
    assert wrong["original-loss"] == wrong["hardly-worse"] == "partly"


def test_where_the_paper_s_network_gives_the_scores_its_ratio_is_measured() -> None:
    logs = {row: curves(3.0, 20.0) for row in icr_table3.ROWS}
    logs |= {icr_table3.BEST: curves(3.3, 10.0)}
    experiment = IcrCifar10(extractor="inception")
    ratio = (1 + 2.3 * 15 / 16) / (1 + 2 * 15 / 16)
    assert experiment.measure(logs, {})["over_penalty"].value == pytest.approx(ratio)


def test_what_cifar10_needs_is_said() -> None:
    assert "-o root=FOLDER" in IcrCifar10().missing("cuda")
    assert "a GPU" in IcrCifar10(root="here").missing("cpu") and IcrCifar10(root="here").missing("cuda") == ""
    with pytest.raises(cp.UsageError, match="no quick scale"):
        IcrCifar10(root="here").runs("quick")


# ---------------------------------------------------------------------- a new discriminator


def test_ranks_and_the_share_of_images_that_are_told_right() -> None:
    assert fresh.spearman(np.array([1.0, 2, 3, 9]), np.array([4.0, 3, 2, 1])) == pytest.approx(-1)
    with_ties = np.corrcoef([0.5, 0.5, 2], [2, 0, 1])[0, 1]
    assert fresh.spearman(np.array([1.0, 1, 5]), np.array([7.0, 2, 3])) == pytest.approx(with_ties)
    assert fresh.share_right(torch.tensor([1.0, 2, -1, 3]), torch.tensor([-1.0, 1, 0, -2])) == 5 / 8


class AsPlayed(dict[str, np.ndarray]):
    path = Path()


def test_the_verdicts_on_new_discriminators_follow_scores_and_accuracies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three looks, from bad to good generators, the accuracy rises the more slowly the better they are."""
    scores = np.array([[1.0, 1], [2, 2], [4, 4], [8, 8]])
    log = AsPlayed({"metrics/step": np.arange(4) * 10, "metrics/digit_score": scores})

    def learnt(speeds: list[float]) -> fresh.Learnt:
        accuracy = 1 - 0.5 * np.exp(-np.outer(speeds, np.arange(201)))[:, None] * np.ones((3, 2, 1))
        return fresh.Learnt(np.array([10.0, 20, 30]), dict.fromkeys(fresh.BODIES, (accuracy, "")))

    def played(speeds: list[float]) -> dict[str, str]:
        monkeypatch.setattr("counterplay.plugins.experiments.gans.icr_fresh.learn", lambda *_: learnt(speeds))
        return verdicts(IcrFresh(), IcrFresh().measure({"generators": log}, {}))

    assert set(played([0.5, 0.2, 0.1]).values()) == {"agrees"}
    wrong = played([0.001, 0.1, 0.5])
    assert set(wrong.values()) == {"disagrees"} and len(wrong) == 4


CPU = torch.device("cpu")


def small() -> Any:
    return cp.make("game", "digits", network={"name": "mlp", "filters": 4, "latent": 3}, batch=8)


def test_all_generators_but_the_first_have_a_discriminator_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    game = small()
    start = game.init(torch.Generator().manual_seed(0))
    two = {i: {k: torch.stack([x, x + 1]) for k, x in tree.items()} for i, tree in start.items()}
    asked = {"experiment": {"device": "cpu"}, "settings": {"members": 2}}
    monkeypatch.setattr(fresh, "saved_steps", lambda run: [0, 2, 4])
    monkeypatch.setattr(fresh, "load_params", lambda run, step: two)
    monkeypatch.setattr(fresh, "RunDirectory", lambda run: SimpleNamespace(run=lambda: asked))
    monkeypatch.setattr(fresh, "rebuild", lambda experiment: (game,))
    found = fresh.learn(Path("a-run"), fresh.Plan(epochs=1, lr=0.01, steps=3))
    assert found.steps.tolist() == [2, 4] and found.accuracy["random"][0].shape == (2, 2, 4)
    assert found.accuracy["classifier"][1].startswith("; the classifiers are right in")


def test_a_classifier_is_trained_in_all_layers_but_the_last_which_is_new() -> None:
    first = fresh.stacked([small().first_discriminator(torch.Generator().manual_seed(m)) for m in (0, 1)], CPU)
    body, right = fresh.classifiers(small(), first, fresh.Plan(epochs=1, lr=0.01, steps=0))
    changed = {name for name, x in body.items() if not torch.equal(x, first[name])}
    assert changed == {name for name in first if not name.startswith("5.")}
    assert 0.1 < right < 1.0


def test_a_new_discriminator_against_a_generator_of_one_image_is_soon_right() -> None:
    game = small()
    first = fresh.stacked([game.first_discriminator(torch.Generator().manual_seed(0))], CPU)
    generator = game.first_generator(torch.Generator().manual_seed(0))
    grey = {k: torch.zeros_like(x)[None, None] for k, x in generator.items()}
    accuracy = fresh.against(game, grey, first, fresh.Plan(epochs=0, lr=0.02, steps=30))
    assert accuracy[0, 0, 0] < 0.7 and accuracy[0, 0, -5:].mean() > 0.95

"""The log format: the variables of a log with their axes and units, in one table for writer and reader.

A log has four groups. The first axis of a group's variables counts the rows and has the group's name, as in
``/step/losses (step, player)``. Every axis has a coordinate, so xarray, netCDF4 and h5dump open a log without
counterplay. The axis ``member`` exists in ensembles only. Nothing here needs torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import UsageError

FORMAT = "counterplay-log"
VERSION = 1  # grows when an old reader would misread a new log; a new variable alone does not change it
MAX_VARIABLES = 500  # of a file, axes included, as programs that list them take time for each

SPECTRUM_STATUS = ("converged", "not_converged", "not_finite", "not_differentiable")

NOISE_BATCHES = 8  # independent batches from which the standard deviation of v is computed

RUN_STATES = {  # the states of a run (status.json), each in words
    "running": "The run is under way; what it has sealed so far is shown.",
    "crashed": "The run ended without a chance to say so; counterplay resume goes on from its newest checkpoint.",
    "converged": "The run met the condition it was asked to meet.",
    "max_steps": "The run took all the steps it was given. This says nothing about convergence.",
    "not_converged": "The run was asked to converge, and ran out of steps or of patience first.",
    "diverged": "The run stopped at the first value that was not finite or passed the blow-up bound; "
    "the last finite state is kept.",
    "interrupted": "The run was stopped from outside and can be resumed.",
    "failed": "The run ended with an error.",
}


ENDED = ("converged", "max_steps", "not_converged", "diverged")  # states of runs that cannot go on


@dataclass(frozen=True)
class Variable:
    """One variable of a log: its axes in order, its type on disk, and what it is in words."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = "1"
    flags: tuple[str, ...] = ()  # meanings of the values 0, 1, 2, … of a status code
    attrs: Mapping[str, str | int | float] = field(default_factory=dict, hash=False)  # more, as a metric's provenance

    def __post_init__(self) -> None:
        # A name with a slash would make a group; netCDF tools refuse a file that has names with other odd characters.
        for name in (self.name, *self.dims):
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.+\-]{0,99}", name):
                raise UsageError(
                    f"A variable of the log cannot be named {name!r}: use letters, digits, '_', '.', '+' and '-'."
                )

    @property
    def measured_by(self) -> str:
        """What a metric was measured by, in words: "classifier 1a2b3c4d, 10,000 samples"; "" if that is not known."""
        if "extractor" not in self.attrs:
            return ""
        extractor = f"{self.attrs['extractor']} {str(self.attrs.get('extractor_sha256', ''))[:8]}".strip()
        samples = self.attrs.get("samples")
        return f"{extractor}, {samples:,} samples" if isinstance(samples, int) else extractor


def _table(group: str, *rows: tuple[Any, ...]) -> dict[str, Variable]:
    steps = Variable("step", (group,), "<i8", "number of steps taken")
    made = [Variable(name, (group, *dims), *rest) for name, dims, *rest in rows]
    return {v.name: v for v in (steps, *made)}


_M = ("member",)
_P = ("member", "player")
_MODES = ("member", "mode")
_PLANE = ("plane_row", "plane_column", "parameter")
_UPDATE = ("member", "update_mode")
_FAR = ("member", "update_far_mode")

GROUPS: dict[str, dict[str, Variable]] = {
    "step": _table(
        "step",
        ("losses", _P, "<f8", "loss of each player"),
        ("gradient_norms", _P, "<f8", "norm of each player's gradient"),
        ("parameter_norms", _P, "<f8", "norm of each player's parameters"),
        ("parameters", ("member", "parameter"), "<f8", "all parameters"),
        ("projection", ("member", "direction"), "<f8", "parameters projected on fixed directions"),
        ("inner_iterations", _M, "<i8", "iterations of the inner solve"),
        ("inner_residual", _M, "<f8", "relative residual of the inner solve"),
        ("inner_converged", _M, "|i1", "whether the inner solve converged", "1", ("no", "yes")),
        ("gradients", (), "<i8", "evaluations of v so far, whole ones; the gradient of one of n players is 1/n"),
        ("products", (), "<i8", "Jacobian-vector products so far, those inside losses included"),
        ("samples", (), "<i8", "samples drawn so far"),
        ("wall_seconds", (), "<f8", "time since the run began", "s"),
        ("solver_seconds", (), "<f8", "time in the solver's steps and draws so far", "s"),
        ("measuring_seconds", (), "<f8", "time so far in looking on and saving", "s"),
    ),
    "spectrum": _table(
        "spectrum",
        ("eigenvalues", _MODES, "<c16", "eigenvalues of J = dv/dtheta (the flow is stable where Re > 0)"),
        ("count", _M, "<i8", "number of eigenvalues of J found"),
        ("residuals", _MODES, "<f8", "relative residual of each eigenvalue of J"),
        ("status", _MODES, "|i1", "how each eigenvalue of J came out", "1", SPECTRUM_STATUS),
        ("errors", _MODES, "<f8", "how far each eigenvalue of J may be off, relative to the largest |lambda|"),
        ("block_eigenvalues", (*_P, "block_mode"), "<c16", "eigenvalues of each player's own block of J"),
        ("block_residuals", (*_P, "block_mode"), "<f8", "relative residual of each eigenvalue of a block"),
        ("block_status", (*_P, "block_mode"), "|i1", "how each eigenvalue of a block came out", "1", SPECTRUM_STATUS),
        ("block_errors", (*_P, "block_mode"), "<f8", "how far each of them may be off, relative to the largest"),
        ("block_count", _P, "<i8", "number of eigenvalues of each block found"),
        ("symmetric_eigenvalues", _MODES, "<f8", "eigenvalues of the symmetric part (J + J^T)/2"),
        ("symmetric_residuals", _MODES, "<f8", "relative residual of each of them"),
        ("symmetric_status", _MODES, "|i1", "how each of them came out", "1", SPECTRUM_STATUS),
        ("antisymmetric_eigenvalues", _MODES, "<f8", "imaginary parts of the eigenvalues of (J - J^T)/2"),
        ("antisymmetric_residuals", _MODES, "<f8", "relative residual of each of them"),
        ("antisymmetric_status", _MODES, "|i1", "how each of them came out", "1", SPECTRUM_STATUS),
        ("leader_curvature", _M, "<f8", "least curvature of the first player along the other's best answers"),
        ("state_size", (), "<i8", "numbers of state of F': parameters and solver memory, of one member"),
        ("update_eigenvalues", _UPDATE, "<c16", "eigenvalues of F', the derivative of one step, of largest modulus"),
        ("update_count", _M, "<i8", "number of eigenvalues of F' found"),
        ("update_residuals", _UPDATE, "<f8", "relative residual of each eigenvalue of F'"),
        ("update_status", _UPDATE, "|i1", "how each eigenvalue of F' came out", "1", SPECTRUM_STATUS),
        ("update_errors", _UPDATE, "<f8", "how far each eigenvalue of F' may be off, relative to the largest |lambda|"),
        ("update_far_eigenvalues", _FAR, "<c16", "eigenvalues of F' farthest from 1, where not all are known"),
        ("update_far_count", _M, "<i8", "number of eigenvalues farthest from 1 found"),
        ("update_far_residuals", _FAR, "<f8", "residual of each of them, relative to the largest |1 - lambda|"),
        ("update_far_status", _FAR, "|i1", "how each of them came out", "1", SPECTRUM_STATUS),
        ("update_far_errors", _FAR, "<f8", "how far each of them may be off, relative to the largest |1 - lambda|"),
        ("gradient_norm", _M, "<f8", "norm of v on the batch that spectra are measured on"),
        ("gradient_noise", _M, "<f8", f"deviation of v between {NOISE_BATCHES} independent batches, as a norm"),
        ("player_noise", _P, "<f8", "the same of each player's own part of v"),
        ("mean_gradient_norm", _M, "<f8", f"norm of the mean of v over those {NOISE_BATCHES} batches"),
        ("newton_norm", _M, "<f8", "norm of the Newton step to where J says that the mean of v is 0"),
        ("newton_noise", _M, "<f8", f"deviation of that step between {NOISE_BATCHES} independent batches, as a norm"),
        ("newton_remainder", _M, "<f8", "norm of the mean of v after it, as a share of that before"),
        ("at_boundary", _M, "|i1", "1 where a strategy set stops what moves along -v, else 0"),
    ),
    "samples": _table(
        "samples",
        ("images", ("image", "channel", "height", "width"), "<f4", "generated images"),
        ("points", ("point", "coordinate"), "<f4", "generated points"),
        ("data", ("data_point", "coordinate"), "<f4", "points of the data, beside the generated ones"),
        ("plane", _PLANE, "<f8", "points around the path of a game of two parameters"),
        ("field", _PLANE, "<f8", "v at the points of the plane"),
    ),
    "metrics": _table("metrics"),  # one variable for each metric, see Layout.variable
}

COUNTS = {  # ragged variables are padded with NaN along their last axis -> the variable that counts real entries
    "eigenvalues": "count",
    "block_eigenvalues": "block_count",
    "update_eigenvalues": "update_count",
    "update_far_eigenvalues": "update_far_count",
}

AXES = {  # every axis -> the meaning of its coordinate
    "step": "number of steps taken",
    "spectrum": "number of the measured spectrum",
    "samples": "number of the sample sheet",
    "metrics": "number of the evaluation",
    "member": "member of the ensemble",
    "player": "player",
    "parameter": "player/tensor[index] of each parameter",
    "direction": "direction of projection",
    "mode": "number of the eigenvalue",
    "block_mode": "number of the eigenvalue within its block",
    "update_mode": "number of the eigenvalue",
    "update_far_mode": "number of the eigenvalue, from the farthest from 1",
    "image": "number of the image",
    "channel": "colour channel",
    "height": "row of pixels, from the top",
    "width": "column of pixels, from the left",
    "plane_row": "row of points in the plane",
    "plane_column": "column of points in the plane",
    "point": "number of the point",
    "data_point": "number of the point of the data",
    "coordinate": "coordinate of the point",
}


@dataclass(frozen=True)
class Layout:
    """What is fixed for one log: the names and sizes of axes, and the attributes.

    ``parameters`` names every parameter (``x/value[0]``) if the log keeps them all; ``directions`` are the names of the
    directions of a projection; ``members`` is the size of an ensemble. ``metrics`` declares metrics that have axes or
    units.
    """

    players: tuple[str, ...]
    parameters: tuple[str, ...] | None = None
    directions: tuple[str, ...] | None = None
    members: int | None = None
    metrics: tuple[Variable, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)  # "experiment" (JSON), "seed", "versions" (JSON), …

    def labels(self) -> dict[str, tuple[str, ...]]:
        """Return the names along each axis that has names."""
        named = {"player": self.players, "parameter": self.parameters, "direction": self.directions}
        return {dim: tuple(names) for dim, names in named.items() if names is not None}

    def size(self, dim: str) -> int | None:
        """Return the length that an axis must have; None where any length will do."""
        if dim == "member":
            return self.members
        labels = self.labels().get(dim)
        return None if labels is None else len(labels)

    def variable(self, group: str, name: str, shape: Sequence[int]) -> Variable:
        """Return the variable ``name`` of a row whose value has ``shape``.

        A metric that was not declared gets a numbered axis of its own for each axis of its value.
        """
        known = {**GROUPS[group], **({m.name: m for m in self.metrics} if group == "metrics" else {})}
        if name in known:
            found = known[name]
        elif group == "metrics":
            own = list(shape)
            dims = [group]
            if self.members is not None and own[:1] == [self.members]:
                dims, own = [group, "member"], own[1:]
            ends = [f"{name}_index"] if len(own) == 1 else [f"{name}_index_{i}" for i in range(len(own))]
            found = Variable(name, (*dims, *ends), "<f8", name.replace("_", " "))
        else:
            raise UsageError(
                f"The group {group!r} of a log has no variable {name!r}; it has {', '.join(GROUPS[group])}."
            )
        if self.members is None:
            found = replace(found, dims=tuple(d for d in found.dims if d != "member"))
        return found

"""What eigenvalues say of a point: conditioning, kinds of equilibrium, verdicts. Needs numpy only.

To be taken: `verdict.point`, `certainty.known`, `conditioning`, `words`, `step_sizes`.
"""

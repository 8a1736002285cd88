"""What eigenvalues say of a point: conditioning, kinds of equilibrium, verdicts. Needs numpy only.

For other packages: `verdict.point`, `certainty.known`, `conditioning`, `words`, `step_sizes`.
"""

"""What eigenvalues say of a point: conditioning, kinds of equilibrium, verdicts. Needs numpy only.

For other packages: `verdict.point_verdict`, `certainty.known`, `conditioning`, `verdict_text`, `step_sizes`.
"""

"""What eigenvalues say of a point: conditioning, equilibria, verdicts with what is certain. numpy only.

To be taken: `verdict.point`, `certainty.known`, `conditioning`, `words`, `step_sizes`.
"""

"""What eigenvalues say of a point, and what the course of a run says of it. Needs numpy only.

For other packages: `verdict.point_verdict`, `certainty.known`, `conditioning`, `verdict_text`, `step_sizes`,
`rate`, `metastability.projection_periods`.
"""

"""The machinery: games, solvers, runs and their records; it knows no particular game or method.

What lies directly here is the ground that every package stands on: `errors`, `options`, `values`, `coerce`,
`arguments` (of commands), `attribution` (whose code failed), `tolerances`, `seeding` and `version`. The packages,
floor by floor, are in ``tests/repository/test_layout.py``.
"""

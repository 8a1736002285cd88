"""The machinery: games, solvers, runs and their records; it knows no particular game or method.

What lies directly here is the lowest layer, which every package may use: `errors`, `options`, `typed_values`, `coerce`,
`click_types` (of commands), `attribution` (whose code failed), `tolerances`, `seeding` and `version`. The packages,
layer by layer, are in ``tests/repository/test_layout.py``.
"""

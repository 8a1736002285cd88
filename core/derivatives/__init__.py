"""v, J and their products at a point: batched over members, replayed from traced programs, and counted.

For other packages: `local.LocalGame` (all that a solver may look at), `evaluator.Evaluator`, `operator.Operator`,
`field.field_of`, `products.Cost`, `fixed_batch`. Read `field` first, then `local`, `operator`, `eager` and `evaluator`.
"""

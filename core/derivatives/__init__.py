"""v, J and their products at a point: batched over members, traced on request, and counted.

To be taken: `local.LocalGame` (all that a solver may look at), `evaluator.Evaluator`, `operator.Operator`,
`field.field_of`, `products.Cost`, `fixed_batch`.
"""

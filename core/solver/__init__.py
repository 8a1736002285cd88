"""Solvers: from the state of a run to the next one. And what they are made of: step rules, play orders, linear solves.

For other packages: `solver.Solver`, `Composed` and `StepInfo`, `state.State`, `step_rules`, `play_orders`, `krylov`,
`inner_solve`, `safe_sqrt`. Read `solver` first.
"""

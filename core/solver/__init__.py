"""The waist: a solver turns the state of a run into the next one. What solvers are made of is here too.

To be taken: `solver.Solver`, `Composed` and `StepInfo`, `state.State`, `step_rules`, `play_orders`, `krylov`,
`inner_solve`, `safe_sqrt`.
"""

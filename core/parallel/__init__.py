"""One run over several processes, as torchrun starts them, each with a share of the batch or of the members.

For other packages: `launch.processes` (the processes of this run, or None), `playing.Playing` (what the loop plays
there), `split_evaluator.SplitEvaluator` (a game whose batches are shared), `member_solver.MemberSolver` (a solver of an
ensemble whose members are), `proof.require_split` (that a game may be split), `agreement`. The sums themselves are in
`core.collective`.
"""

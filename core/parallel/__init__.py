"""One run over several processes, each with a share of the batch, as torchrun starts them.

For other packages: `launch.processes` (the processes of this run, or None), `split_evaluator.SplitEvaluator` (what the
loop plays there), `proof.require_split` (that a game may be split), `agreement`. The sums themselves are in
`core.collective`.
"""

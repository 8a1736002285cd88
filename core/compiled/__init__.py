"""Many steps of a small game by one C function. Without this folder small games are slower, with the same results.

For other packages, by ``run.engine`` alone: `compiled_chunk_runner.CompiledChunkRunner` and
`compiled_step.compiled_solver`.
"""

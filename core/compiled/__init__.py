"""Many steps of a small game by one C function. Without this folder small games are slower, with the same results.

For other packages: `compiled_chunks.CompiledChunks` and `compiled_step.compiled_solver`, by ``run.engine`` alone.
"""

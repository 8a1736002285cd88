"""Small games' steps as one C function, many at once. Without this folder they are slower, not different.

To be taken: `chunks.Chunks` and `compiled_step.compiled_solver`, by ``run.engine`` alone.
"""

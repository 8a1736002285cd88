"""Solvers that step along v, or v with a correction by J, at the present point."""

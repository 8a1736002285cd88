"""Solvers of players who each move to the equilibrium of a local game.

`system` is the linear system that they have in common.
"""

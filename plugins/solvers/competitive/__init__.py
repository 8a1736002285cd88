"""Competitive gradient descent: each player moves to its strategy in the Nash equilibrium of a local game.

`system` holds the step that cgd and acgd share.
"""

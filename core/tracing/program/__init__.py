"""Straight-line programs of tensor operations: recorded, simplified, optimised.

To be taken: `graph.Graph`, `simplify.simplify`, `optimize.improve`, `memory`, `cost.work`.
"""

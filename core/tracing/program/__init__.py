"""Straight-line programs of tensor operations: recorded, simplified, optimised.

For other packages: `graph.Graph`, `simplify.simplify`, `optimize.improve`, `memory`, `cost.work`.
"""

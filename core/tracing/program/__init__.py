"""Straight-line programs of tensor operations: written down, simplified, improved.

To be taken: `graph.Graph`, `simplify.simplify`, `optimize.improve`, `memory`, `cost.work`.
"""

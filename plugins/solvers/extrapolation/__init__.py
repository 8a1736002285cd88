"""Solvers that take their gradients elsewhere than where they are: one step ahead, or behind."""

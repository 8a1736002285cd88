"""Experiments with generators and discriminators that are networks."""

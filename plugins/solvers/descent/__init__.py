"""Solvers that descend a field at the point where they are: v, and v corrected by J."""

"""Solvers that take v at another point than the present one: at a point ahead, or at the next point itself."""

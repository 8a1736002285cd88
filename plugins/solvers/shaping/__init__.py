"""Solvers whose players foresee how the others will move: opponent shaping, leader and followers, best responses."""

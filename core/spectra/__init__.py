"""Eigenvalues of J, its parts and blocks, and of the update map F' at a point.

To be taken: `spectrum.spectrum`, `update_map.update_jacobian`, `point_spectra`, `at_point.measured`,
`game_check.checked` (whether J is the derivative of v).
"""

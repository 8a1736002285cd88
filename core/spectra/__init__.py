"""Eigenvalues of J, of its parts and blocks, and of the derivative F' of the update map, at a point.

For other packages: `spectrum.spectrum`, `update_map.update_jacobian`, `point_spectra`, `at_point.point_report`,
`game_check.check_game` (which also tells whether J is the derivative of v).
"""

"""Measures of a run, from its log: how fast it converged, what its last spectra mean, whether it was metastable.

To be taken: `log_verdict.meaning`, `convergence`, `recorded_spectra.spectra`, `lingering`.
"""

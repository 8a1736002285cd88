"""What a log says of a run: how fast it converged, what its last spectra mean, whether it lingered.

To be taken: `log_verdict.meaning`, `convergence`, `rate.measured_rate`, `recorded_spectra.spectra`, `metastability`.
"""

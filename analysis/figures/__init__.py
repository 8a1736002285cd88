"""Figures of one or several logs; one file for each.

To be taken: `plot.plot`, `plot.save`, `plot.FIGURES`.
"""

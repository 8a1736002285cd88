"""Figures of one or several logs. Each figure is one file, with a `CARD` and a function `drawing`.

To be taken: `NAMES`, `plot.plot`, `plot.save`, `plot.FIGURES`.
"""

# The figures in the order of a report. The figure "losses" is drawn by `losses.drawing` and described by `losses.CARD`.
NAMES = ("losses", "trajectory", "spectrum", "rate", "stability", "field", "samples", "metrics", "heatmap")

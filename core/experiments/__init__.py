"""What a published claim is, how it is measured, and how a verdict on it is computed. Needs numpy only.

Who writes an experiment has this package as ``counterplay.experiments``: `claim` has ranges and measured numbers,
`intervals` shares, medians and differences, `rates` rates of runs, `panel` what is drawn. For other packages also
`experiment.Experiment`, `results`, `run_log.RunLog`.
"""

from . import claim as claim
from . import intervals as intervals
from . import panel as panel
from . import rates as rates

"""Reading what was recorded: logs, measures, figures, reports. Nothing here needs torch.

`optional` imports what only the ``analysis`` extra installs.
"""

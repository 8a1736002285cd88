"""Logs are read here: measures, figures, summaries and reports. Nothing here needs torch.

`optional` imports packages that only the ``analysis`` extra installs.
"""

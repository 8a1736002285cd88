"""The commands that read logs. The command line finds them by a hook, as it finds those of plugins.

To be taken: `summary.summarize`, `report.write_report`.
"""

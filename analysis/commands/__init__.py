"""The commands that read logs, which core's command line finds by a hook.

To be taken: `summary.summarize`, `report.write_report`.
"""

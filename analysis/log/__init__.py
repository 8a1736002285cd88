"""Open, follow, export, merge and verify logs.

To be taken: `log.open_log` and `log.Log`, `tables`.
"""

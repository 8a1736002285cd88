"""Logs opened, followed, exported, merged and verified.

To be taken: `log.open_log` and `log.Log`, `tables`.
"""

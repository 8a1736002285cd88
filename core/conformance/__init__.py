"""Checks that anything registered must pass, ours and a third party's.

To be taken: `check.check`.
"""

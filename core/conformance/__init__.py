"""Checks that everything registered must pass, whether it is built in or a third party's.

For other packages: `check.check`. For authors of plugins, as ``counterplay.testing``: `testing`.
"""

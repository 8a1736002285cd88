"""The version, which run.json, logs and the command line show."""

__version__ = "0.1.0"

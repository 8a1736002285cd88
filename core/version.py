"""The version, said once: run.json, logs and the command line take it from here."""

__version__ = "0.1.0"

"""The version, which run.json, logs and the command line show: that of the installed distribution."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("counterplay")
except PackageNotFoundError:  # played from the folder of the sources, without being installed
    __version__ = "0+unknown"

"""The command line. Its modules import torch only inside commands.

For other packages: `main.main`.
"""

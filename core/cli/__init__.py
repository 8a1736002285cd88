"""The command line. Torch is imported inside commands only.

To be taken: `main.main`.
"""

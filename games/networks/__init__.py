"""Layers and networks as pure functions of trees.

To be taken: `layers.Network` and its layers, `layers.mlp`.
"""

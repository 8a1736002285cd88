"""Layers and networks as pure functions of trees. For other packages: `layers.Network`, `layers.mlp`, the layers."""

"""Experiments with GANs of images: what papers say of architectures, divergences, scores and costs."""

"""All things that can be made by name, built in or from plugins, and experiments as tables of names. Imports no torch.

For other packages: `registry.make`, `hookspecs` (the contract of a plugin), `experiment.Experiment`, `build.build`.
"""

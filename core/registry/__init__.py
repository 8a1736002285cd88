"""What can be made by name, built in or brought by others, and experiments as tables of names. Needs no torch.

To be taken: `registry.make`, `hookspecs` (the contract of a plugin), `experiment.Experiment`, `build.build`.
"""

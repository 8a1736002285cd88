"""What surrounds a loop: settings, starting points, recorders, checkpoints, and resuming.

For other packages: `engine.run`, `resume.resume`, `load_point.load_point`, `checkpoint`, `settings.Settings`.
"""

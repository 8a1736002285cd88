"""What surrounds a loop: settings, starting points, recorders, checkpoints, and resuming.

For other packages: `engine.run`, `resume.resume`, `recall.recall`, `checkpoint`, `settings.Settings`.
"""

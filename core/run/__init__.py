"""What surrounds a loop: settings, starting points, recorders, checkpoints, and going on after an end.

To be taken: `engine.run`, `resume.resume`, `recall.recorded`, `checkpoint`, `settings.Settings`.
"""

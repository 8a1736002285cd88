"""Pure functions that are captured once, simplified, and replayed as long as nothing that they read has changed.

To be taken: `traced.traced` and `staged`, `origin.Origin`, `capture.capture`, `guards.Guard`, `pytrees`.
"""

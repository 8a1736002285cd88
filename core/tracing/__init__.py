"""Pure functions that are captured once, simplified, and replayed as long as nothing that they read has changed.

For other packages: `traced.traced` and `staged`, `origin.Origin`, `capture.capture`, `guards.Guard`, `pytrees`.
"""

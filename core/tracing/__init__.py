"""Pure functions that are captured once, simplified, and replayed as long as nothing that they read has changed.

For other packages: `traced.traced` and `staged`, `trace_source.TraceSource`, `capture.capture`, `guards.Guard`,
`pytrees`.
"""

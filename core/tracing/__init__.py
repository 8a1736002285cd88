"""Pure functions that are captured once, simplified, and replayed as long as nothing that they read has changed.

For other packages: `traced.traced` and `traced_with_maps`, `trace_context.TraceContext`, `capture.capture`,
`guards.Guard`, `pytrees`.
"""

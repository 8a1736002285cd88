"""Optional rewrites of programs that save work for networks. Without this folder programs are slower, not different.

For other packages: `factor_rewrite.rewritten`, to be given to `tracing.trace_context.TraceContext` as its ``rewrite``.
"""

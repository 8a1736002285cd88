"""Optional rewrites of programs that pay for networks. Without this folder programs are slower, not different.

To be taken: `factor_rewrite.rewritten`, which whoever traces may hand to `tracing.origin.Origin`.
"""

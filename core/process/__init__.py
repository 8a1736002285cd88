"""The process around a run: its signals, its standard streams, and torch's settings that plugins may change.

For other packages: `signals.stop_requested`, `signals.raise_interrupt`, `streams.kept_open`,
`streams.stdout_to_stderr`, `global_state.restoring_torch_settings`.
"""

"""The process around a run: signals, standard streams, and the settings that code of others may change.

To be taken: `signals.asked`, `signals.caught`, `streams.kept`, `streams.diverted`, `global_state.undisturbed`.
"""

"""The log of a run: its format, its writer, and readers that no file from a stranger can harm. No torch is needed.

For other packages: `schema` (every variable of the format), `writer.LogWriter`, `blocks.pieces_of`,
`sandbox.Sandbox`, `history.History` (the same in memory), `hdf5.contents` and `read`.
"""

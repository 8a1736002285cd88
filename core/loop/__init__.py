"""The loop that plays a game: it takes steps, holds them to the contract, checks, shows and commits them.

For other packages: `loop.Loop`, `observers.Seen` and `Every`, `monitor.Monitor`, `stopping.stopping`,
`contract.StepContract`. Read `loop` first, `Loop.play` above all, then `step`, `monitor` and `contract`.
"""

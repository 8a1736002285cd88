"""One step after another: taken, held to the contract, looked at, judged, committed.

To be taken: `loop.Loop`, `observers.Seen` and `Every`, `monitor.Monitor`, `stopping.until`, `contract.Contract`.
"""

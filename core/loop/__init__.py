"""One step after another: taken, held to the contract, looked at, judged, committed.

To be taken: `loop.Loop`, `observers.Seen` and `Every`, `monitor.Watch`, `stopping.until`, `contract.Contract`.
"""

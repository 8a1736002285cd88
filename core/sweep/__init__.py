"""Many runs as one: a grid of experiments whose runs lie in one directory, played by any number of processes.

    from counterplay.core.cli.play_cell import play_cell       # begins the run of a cell, or goes on with it
    from counterplay.core.sweep.grid import grid
    from counterplay.core.sweep.local import Local
    from counterplay.core.sweep.sweep_directory import SweepDirectory
    from counterplay.core.sweep.work import Work

    base = {"game": "quadratic", "steps": 500}
    cells = grid(base, {"solver": ["simgd", "ogda"], "solver.lr": [0.01, 0.1], "seed": range(10)})
    sweep = SweepDirectory("sweeps/q")
    sweep.plan(cells)                                          # writes sweep.json; plays nothing
    Local(workers=2)(Work(sweep, play_cell), sweep.waiting(cells))
    for cell in cells:
        print(cell.settings, sweep.state(cell.name), sweep.directory(cell.name))

What is done is read from the directory alone. So the same lines, run again, play only what is left, and more cells may
be planned in the same directory later. A cell that fails costs itself. Nothing here imports torch; `play_cell` does.
`plan` returns all cells of the directory, those that were planned before included.

For other packages: `cell.Cell`, `grid.grid`, `sweep_directory.SweepDirectory`, `work.Work`, `local.Local`,
`executors.executor`.
"""

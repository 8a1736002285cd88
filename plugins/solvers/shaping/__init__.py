"""Solvers of players who reckon with how the others will move: lookahead, leadership, best answers."""

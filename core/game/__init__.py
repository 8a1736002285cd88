"""What a differentiable game is: players, parameters as trees, losses, regularisers, games from functions or modules.

To be taken: `game.Game`, `tree` (the algebra of joint strategies), `loss.Loss`, `regularizer.Regularizer`,
`adapters.game_from_losses`, `module_games.game_from_modules`, `structure`, `checks` (of what a game gives back).
"""

"""What a differentiable game is: players, parameters as trees, losses, regularisers, games from functions or modules.

For other packages: `game.Game`, `tree` (the algebra of joint strategies), `loss.Loss`, `regularizer.Regularizer`,
`adapters.game_from_losses`, `module_games.game_from_modules`, `buffers` (what a checkpoint can hold of them), and
`structure` and `checks` (of what a game returns). Read `game` first, then `tree`, `loss` and `regularizer`.
`evaluation`, `differentiable_ops` and `module_state` deal with torch and can wait.
"""

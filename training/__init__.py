"""Training commands, and the recipes, loop, options and losses behind them."""

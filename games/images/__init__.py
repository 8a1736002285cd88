"""The game `images`, of a data set and a network, and its presets with the settings of papers."""

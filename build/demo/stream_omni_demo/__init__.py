"""How the demo checkpoint is made: its data, and the training of every stage in its real architecture."""

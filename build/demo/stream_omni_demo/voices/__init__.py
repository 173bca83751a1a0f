"""The speech that the demo checkpoint learns from: who speaks, what is said, and how it is changed while it is read."""

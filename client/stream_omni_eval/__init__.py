"""How good a served system is: what it understood, answered and said, by the client SDK and an independent ear."""

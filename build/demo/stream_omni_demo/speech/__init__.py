"""The demo's speech in training: what hears it (the speech tokenizer), and what says it (flow and vocoder)."""

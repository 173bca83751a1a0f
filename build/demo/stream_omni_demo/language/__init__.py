"""The language stacks in training: the bottom one hears, the LLM answers, the vision tower sees, the top one speaks."""

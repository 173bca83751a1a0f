"""The closed domain of the demo checkpoint: scenes, questions about them, conversations, and all the words of it."""

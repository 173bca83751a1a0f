"""The closed domain of the demo checkpoint: scenes, questions about them, conversations, and all the words of it.

`scene` and `drawing` make pictures, `answer` says what is true of one, `sampling` has what to train on and to judge
with, `sentences` what is to be spoken, `vocabulary` the words and the tokenizer.
`python -m stream_omni_demo.world --out DIR` shows it.
"""

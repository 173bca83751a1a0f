"""The demo checkpoint's two directories, in the layout of the real ones."""

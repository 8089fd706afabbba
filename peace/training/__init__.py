"""The step and the loop, in plain PyTorch: a notebook or a GPU box runs them without Ray."""

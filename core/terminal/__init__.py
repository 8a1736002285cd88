"""What a terminal is shown: the progress of a run, colours, lists that fit its width, and completion in a shell.

For other packages: `progress`, `style`, `completion`. Nothing here imports torch.
"""

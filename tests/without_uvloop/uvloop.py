"""On a command's path, this stands before uvloop: the command finds none."""

raise ImportError("uvloop is not for this test")

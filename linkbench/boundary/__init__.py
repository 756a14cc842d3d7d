"""The boundary between the harness and code that is not linkbench's own.

Such code runs in a process of its own that sees what it is given and nothing else (`sandbox`), is started and ended
from outside (`process`, `zygote`), does what it is asked (`host`), and answers with arrays and JSON (`messages`).
Nothing that comes back is unpickled or trusted: the harness checks it as it would check a file.
"""

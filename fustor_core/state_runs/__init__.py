"""The state of a run of the program: header, nodes, context; how it changes and what is kept."""

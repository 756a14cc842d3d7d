"""The stages: pure functions from artefacts and parameters to an artefact.

Each takes a `Task` and is named by reference ("module:function"), so that any executor can carry it out.
"""

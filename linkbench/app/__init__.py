"""The page `linkbench app`: one's own photos, what they give away, and protected ones to take home, in a browser.

`guard` lets in whoever has the address and nobody else; `session` keeps uploads and loses them again; `work` carries
jobs out one after the other; `tasks` is what they do, by the functions of the commands; `server` ties them to routes.
"""

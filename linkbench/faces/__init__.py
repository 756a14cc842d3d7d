"""Faces in photo files: found, cut out aligned, and changed in place at full resolution.

    photo = read(path)
    for face in find(photo):
        aligned = cut(photo, face.square, 64)           # float [1, 3, 64, 64] in [0, 1]
        photo = paste(photo, face.square, change)       # what was changed in `aligned`, [3, 64, 64]
    write(photo, folder / path.name)

Listing faces needs the extra `linkbench[faces]`; cutting and pasting needs torch.
"""

from linkbench.faces.cut import cut, paste
from linkbench.faces.detect import find
from linkbench.faces.geometry import Face, Square
from linkbench.faces.photo import Photo, read
from linkbench.faces.write import write

__all__ = ["Face", "Photo", "Square", "cut", "find", "paste", "read", "write"]

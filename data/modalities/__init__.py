"""All that a picture comes with: depth, normals, classes, a sentence; and how models that take any of it are fed."""

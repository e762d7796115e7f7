"""Restoring images: tiles, planes, files, folders."""

TILE_SIZE = 1280  # px: side of a tile, context included, unless the user wants another
READER = "blur-types"  # weights that find the blur, unless the user wants others

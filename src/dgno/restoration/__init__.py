"""Restoring images: tiles, planes, files, folders."""

TILE_SIZE = 1024  # px: side of a tile, context included, unless the user wants another

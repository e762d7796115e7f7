"""Files: images in and out, one file a format; `image.py` is the door."""

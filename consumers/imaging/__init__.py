"""Width, height and a thumbnail of an uploaded image, decoded in a process of its own.

Decoders of images are large, old and in C; a file that is made to break one must not break it where tokens and connections to the
database are.

    pictures   the front: runs one worker on one file, within bounds; believes nothing that it says without a look
    worker     the process: confines itself, then decodes; the only place where Pillow is imported
    drawing    what it does to an image: shape, colours, orientation

    temporary file ─▶ pictures ──fd 0──▶ worker ─▶ drawing
                         ▲                 │
                         └───── stdout ────┘   one line of JSON, then the thumbnail; or nothing, and exit 3
"""

"""One image, from the bytes of a source to those of a rendition: no disk, no process, no run."""

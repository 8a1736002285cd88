"""Make all that is not there yet."""

from . import examples, gallery, log_format, names, scaling

if __name__ == "__main__":  # processes that play the cells of a sweep import this file, too
    names.write()
    log_format.write()
    scaling.write()
    gallery.write()
    examples.play()

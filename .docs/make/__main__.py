"""Make all that is not there yet."""

from . import examples, gallery, log_format, names

names.write()
log_format.write()
gallery.write()
examples.play()

"""What the documentation shows and nobody writes by hand: results of examples, pages from the registry, pictures.

``python -m make``, in the folder of the documentation, writes all of it to the folder ``generated``. What has been made
is kept as long as the package and the makers have not changed.
"""

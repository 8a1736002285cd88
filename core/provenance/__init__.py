"""What a run was made of, as plain data: recorded when it begins, and compared when it is resumed.

For other packages: `environment.described`, `remaking.table_of`, `description.describe`, `differences.differences`.
"""

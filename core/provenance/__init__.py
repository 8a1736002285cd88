"""What a run was made of, as plain data: recorded with it, and compared when it goes on.

To be taken: `environment.described`, `by_name.table_of`, `description.describe`, `differences.differences`.
"""

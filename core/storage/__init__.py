"""Files of a run directory, written and read so that no crash, full disk or hostile file does harm. No torch is needed.

For other packages: `atomic.write_atomic`, `strict_json.dumps` and `parse`, `run_directory.RunDirectory`,
`lock.acquire`, `safe_open.open_plain`, `checksum.stamp`; `json_fields` says what each JSON file may hold.
"""

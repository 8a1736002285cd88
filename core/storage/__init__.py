"""Files of a run directory that outlive crashes, full disks and strangers. Nothing here needs torch.

To be taken: `atomic.write_atomic`, `strict_json.dumps` and `parse`, `run_directory.RunDirectory`, `lock.acquire`,
`safe_open.open_plain`, `checksum.stamp`; `json_fields` says what each JSON file may hold.
"""

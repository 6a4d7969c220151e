"""The index's file: its schema, the steps from one version of it to the next, and what is done about a broken one."""

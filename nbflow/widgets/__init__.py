"""Views of executions: what the log says as plain data, and that data as text and static HTML."""

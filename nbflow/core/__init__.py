"""The sans-IO interpreter: events in, commands out. Standard library and greenlet only."""

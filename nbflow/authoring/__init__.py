"""What user code calls: to define workflows and activities, and inside them."""

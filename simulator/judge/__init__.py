"""How good is the dream? Metrics on held-out worlds, and the report that shows them."""

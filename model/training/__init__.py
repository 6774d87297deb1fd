"""How the weights are made: data, losses, phases and the loop that runs them."""

"""The frame model: from what a camera meets to the picture that a player sees."""

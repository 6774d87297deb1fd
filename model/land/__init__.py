"""The world model: invents the cells of land that nobody has seen, in two stages, columns and cells."""

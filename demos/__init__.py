"""What people run: the command line, the window, agents, edit scripts and benchmarks."""

"""What every verb runs in: command line, run directory, Ray session, metrics."""

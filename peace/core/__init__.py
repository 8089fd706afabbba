"""Storage paths, files, errors and progress: what every other package may use."""

"""The comparison of methods: what a variant is, what a grid of them found, and how that is shown."""

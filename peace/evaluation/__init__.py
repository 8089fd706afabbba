"""What predictions are worth: metrics with intervals, thresholds, calibration, figures and a report."""

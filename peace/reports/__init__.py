"""Pages and drawings that reports share: one HTML file with its figures inside, and ECG strips on millimetre paper."""

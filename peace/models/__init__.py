"""The networks: ECG encoder, label query network, the classifier made of them, and the text side of training."""

from peace.models.classifier import EcgClassifier

__all__ = ["EcgClassifier"]

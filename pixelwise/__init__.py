"""Heatmap approaches and pixel-wise classification: how else than by regression a network can find landmarks.

Hsu et al., A Detailed Look At CNN-based Approaches In Facial Landmark Detection, arXiv:2005.08649. `vgg.py` is their
backbone, `model.py` their heads, `cascade.py` the cascade, `losses.py` what is minimised, `targets.py` what the losses
make of landmarks, `decode.py` how maps become landmarks, and `adversary.py` the discriminator.
"""

"""Heatmap methods and pixel-wise classification of landmarks.

Hsu et al., A Detailed Look At CNN-based Approaches In Facial Landmark Detection, arXiv:2005.08649. The backbone is
networks/vgg.py.
"""

"""The rooms of predict.py: faces in your own pictures and videos, found, aligned, followed and judged."""

"""Prediction on pictures and videos: face detection, landmarks, confidence, tracking, exported networks."""

"""ACE-Net: facial anchors and contours (Huang & Tamrakar, 2020)."""

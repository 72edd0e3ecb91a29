"""ACE-Net: facial anchors and contours, the second paper of the README's companions."""

"""The numbers of ACE-Net that several of its modules read."""

CONTOUR_WIDTH = 2  # sigma of Eqs. 1 and 2, in pixels of the heatmap; Sec. 5.3
FINE_STRIDE, COARSE_STRIDE = 2, 8  # of the heatmaps, in pixels of the input; Sec. 5.3, Appendix B
FAR = 6.0  # D of Eqs. 8 and 10, pixels of the heatmap
LANDMARK_WEIGHT = LINE_WEIGHT = 0.1  # lambda of Eq. 11
LINE_SAMPLES = 48  # places, evenly along a contour, that stand for the pixels of Eq. 8

HEAT_EMPHASIS = 10.0  # alpha of Eq. 4; not published
HEAT_EMPHASES = (1.0, 3.0, 30.0)  # others that are compared; 1 weighs all pixels alike
ROOT, OUTSIDE = 0.5, 1.0  # powers of |H| in Eq. 3: counted under the root, as a mean, or before it, as printed

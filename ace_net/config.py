"""Constants of ACE-Net that several of its modules share."""

CONTOUR_TRUTH_FILE = "truth.json"  # the true anchors and contours beside predictions.json
CONTOUR_AUC, FINE_THRESHOLD = 6.0, 1.25  # NME^AC in percent: end of the AUC, and below which a face is aligned finely
CONTOUR_POINTS = 48  # vertices at most; a contour that has all of them is known everywhere, not at landmarks only
# Left out of every mean: 300W does not annotate them, so that a network trained on it alone cannot predict them
UNCOUNTED_ANCHORS = ("right iris center", "left iris center")
CONTOUR_PARTS = {  # facial part, for which NME^AC is reported -> prefixes of the names of anchors and contours
    "eyes": ("right eye ", "left eye "),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "chin": ("chin",),
    "brows": ("right eyebrow", "left eyebrow"),
}

CONTOUR_WIDTH = 2  # sigma of Eqs. 1 and 2, in pixels of the heatmap; Sec. 5.3
EXTRACTION_WIDTH = 3  # sigma of the extraction: predicted ridges are broader than true ones; Sec. 5.3
FINE_STRIDE, COARSE_STRIDE = 2, 8  # of the heatmaps, in pixels of the input; Sec. 5.3, Appendix B
FAR = 6.0  # D of Eqs. 8 and 10, pixels of the heatmap
LANDMARK_WEIGHT = LINE_WEIGHT = 0.1  # lambda of Eq. 11
LINE_SAMPLES = 48  # points, evenly along a contour, that stand for the pixels of Eq. 8

HEAT_EMPHASIS = 10.0  # alpha of Eq. 4; not published
PIXEL_POWER = 0.5  # power of |H| in Eq. 3: 0.5 counts it under the root, as a mean; 1 before it, as printed

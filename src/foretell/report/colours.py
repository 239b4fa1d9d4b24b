"""Colours of every figure: Okabe & Ito's, told apart by every common form of colour-blindness."""

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"

"""What to train: the shape, the schedule and the rungs of a ladder."""

from foretell.rung.evaluation import Evaluation
from foretell.rung.ladder import Ladder, makes_sense, read_ladder, write_ladder_text
from foretell.rung.rung import Precision, Rung
from foretell.rung.schedule import ScheduleName, cosine_share, wsd_share
from foretell.rung.shape import Shape

__all__ = [
    "Evaluation",
    "Ladder",
    "Precision",
    "Rung",
    "ScheduleName",
    "Shape",
    "cosine_share",
    "makes_sense",
    "read_ladder",
    "write_ladder_text",
    "wsd_share",
]

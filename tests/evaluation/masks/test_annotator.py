"""The simulated annotator: where it clicks, when it stops, and what it writes down."""

import numpy as np
import pytest

from semidepth.evaluation.masks.annotator import Answer, annotate, centre, first_clicks, next_click


def square(top, bottom, left, right, size=(40, 50)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_centre_is_farthest_from_the_border():
    point, distance = centre(square(10, 21, 20, 31))
    assert point == (25.5, 15.5)
    assert distance == 6
    # What lies beyond the image is outside.
    assert centre(square(0, 11, 0, 11))[0] == (5.5, 5.5)
    assert centre(square(0, 0, 0, 0))[1] == 0
    # A ring's centre is on the ring, where its mean is not.
    ring = square(0, 30, 0, 30) & ~square(5, 29, 5, 29)
    (x, y), _ = centre(ring)
    assert ring[int(y), int(x)]


def test_the_next_click_is_at_the_largest_error():
    target = square(0, 20, 0, 20)
    missing = target & ~square(0, 9, 0, 9)  # 9 x 9 are missing
    assert next_click(missing, target) == ((4.5, 4.5), True)
    too_much = missing | square(20, 31, 20, 31)  # and 11 x 11 are too much
    assert next_click(too_much, target) == ((25.5, 25.5), False)
    assert next_click(target, target) == (centre(target)[0], True)


class Learner:
    """Answers with a square round the first click that grows by each click; two candidates, the second scored best."""

    def __init__(self, sizes):
        self.sizes = sizes  # of each object, by number of clicks
        self.asked = []

    def __call__(self, clicks, objects):
        self.asked.append((objects.tolist(), clicks.points.copy(), clicks.positive.copy()))
        number = clicks.points.shape[1] - 1
        masks = []
        for index, (x, y) in zip(objects, clicks.points[:, 0], strict=True):
            half = self.sizes[index][number] / 2
            grown = square(round(y - half), round(y + half), round(x - half), round(x + half))
            masks.append([square(0, 1, 0, 1), grown])
        return Answer(np.array(masks), np.tile([[0.1, 0.7]], (len(objects), 1)))


def test_annotating_goes_on_until_an_object_is_done_or_the_limit_is_reached():
    targets = np.stack([square(10, 20, 10, 20), square(20, 30, 30, 40)])
    learner = Learner([[6, 10, 10, 10], [2, 4, 6, 8]])
    first, second = annotate(learner, targets, limit=4, always=1, done_at=0.9, keep=(1, 3))
    assert first.predicted == [pytest.approx(0.36), 1.0]  # done after two clicks
    assert second.predicted == [pytest.approx(side * side / 100) for side in (2, 4, 6, 8)]
    assert second.scores == [0.7] * 4
    assert set(first.masks) == {1}
    assert set(second.masks) == {1, 3}
    assert second.masks[3].sum() == 36
    assert [objects for objects, *_ in learner.asked] == [[0, 1], [0, 1], [1], [1]]
    _, points, positive = learner.asked[-1]
    assert points.shape == (1, 4, 2)
    assert positive.all()  # the square lies within the object: something is missing, nothing is too much
    assert points[0, 0].tolist() == list(centre(targets[1])[0])
    missing = targets[1] & ~second.masks[3]
    assert points[0, 3].tolist() == list(centre(missing)[0])


def test_every_object_gets_the_clicks_that_are_scored():
    targets = square(10, 20, 10, 20)[None]
    [history] = annotate(Learner([[10] * 5]), targets, limit=5, always=3, done_at=0.9)
    assert history.predicted == [1.0] * 3


def test_the_best_candidate_is_by_score_and_the_oracle_by_truth():
    targets = square(10, 20, 10, 20)[None]

    def answer(clicks, objects):
        return Answer(
            np.stack([targets[0], square(0, 5, 0, 5), square(10, 20, 10, 15)])[None], np.array([[0.2, 0.1, 0.9]])
        )

    [history] = annotate(answer, targets, limit=1, always=1, done_at=0.9)
    assert (history.predicted, history.oracle) == ([0.5], [1.0])


def test_first_clicks_lie_on_their_objects():
    targets = np.stack([square(0, 30, 0, 30) & ~square(5, 29, 5, 29), square(39, 40, 49, 50)])
    clicks = first_clicks(targets)
    for target, (x, y) in zip(targets, clicks.points[:, 0], strict=True):
        assert target[int(y), int(x)]
    assert clicks.positive.all()

"""Light of faces whose halves have known greys."""

import numpy as np

from faces.data.lighting import KINDS, lighting


def test_light_is_the_mean_of_the_middle_and_its_side_changes_in_the_mirror():
    faces = np.zeros((2, 32, 32, 3), np.uint8)
    faces[0, :, :16] = 51
    faces[0, :, 16:] = 153
    faces[1] = 255
    found = lighting(faces)
    np.testing.assert_allclose(found, [[40, 50], [100, 0]])
    mirrored = lighting(faces[:, :, ::-1])
    np.testing.assert_allclose(mirrored, found * list(KINDS.values()))


def test_a_black_face_has_a_light():
    np.testing.assert_array_equal(lighting(np.zeros((1, 8, 8, 3), np.uint8)), [[0, 0]])

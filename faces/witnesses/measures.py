"""What a face shows, measured from 68 landmarks: mouth, eyes, brows, and how the head is turned.

Landmarks (n, 68, 2) are in iBUG's order (Sagonas et al. 2013), x to the right and y down, in one unit for
both. Lengths are over the distance between the outer corners of the eyes, and counted along and across the
line through them, so that they do not depend on size and roll.
"""

import numpy as np

LANDMARKS = ("mouth_open", "mouth_width", "corner_lift", "eye_open", "brow_height", "yaw", "roll", "pitch")
MEASURES = ("smile", *LANDMARKS)

BROWS = slice(17, 27)
EYES = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))  # outer or inner corner, lids, corner, lids
OUTER = (36, 45)  # outer corners of the eyes
NOSE = 30  # its tip
CORNERS = (48, 54)  # of the mouth
LIPS = ((61, 67), (62, 66), (63, 65))  # inner upper and lower lip
# The tip of the nose below and before the line of the outer corners, over their distance: the generic head
# that is widely used to find a head's pose from a few landmarks.
NOSE_DOWN = 170 / 450
NOSE_OUT = 135 / 450


def measures(points: np.ndarray) -> np.ndarray:
    """LANDMARKS of faces with points (n, 68, 2): (n, 8); angles in degrees.

    mouth_open     gap between the inner lips
    mouth_width    distance of the mouth's corners
    corner_lift    how high the mouth's corners lie above the middle of the inner lips
    eye_open       height over width, mean of both eyes (Soukupova & Cech 2016)
    brow_height    how high the brows lie above the eyes
    yaw            the nose turned to the right of the picture
    roll           the head tilted clockwise
    pitch          the face turned up
    """
    points, roll = upright(np.asarray(points, np.float64))
    gaps = [points[:, low, 1] - points[:, high, 1] for high, low in LIPS]
    corners = points[:, CORNERS]
    middle = np.mean([points[:, place, 1] for pair in LIPS[1:2] for place in pair], 0)
    eyes = np.mean([points[:, eye].mean(1) for eye in EYES], 0)
    yaw, pitch = turned(points)
    return np.stack(
        [
            np.mean(gaps, 0),
            np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1),
            middle - corners[:, :, 1].mean(1),
            np.mean([aspect(points[:, eye]) for eye in EYES], 0),
            eyes[:, 1] - points[:, BROWS, 1].mean(1),
            yaw,
            roll,
            pitch,
        ],
        1,
    )


def upright(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points turned and scaled so that the outer corners of the eyes lie level and 1 apart, about their
    middle; and roll in degrees.
    """
    left = points[:, OUTER[0]]
    right = points[:, OUTER[1]]
    across = right - left
    size = np.linalg.norm(across, axis=1)
    cosine = across[:, 0] / size
    sine = across[:, 1] / size
    back = np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1)  # (n, 2, 2)
    centred = points - ((left + right) / 2)[:, None]
    return np.einsum("nij,npj->npi", back, centred) / size[:, None, None], np.degrees(
        np.arctan2(across[:, 1], across[:, 0])
    )


def aspect(eye: np.ndarray) -> np.ndarray:
    """Height over width of eyes with points (n, 6, 2)."""
    height = np.linalg.norm(eye[:, [1, 2]] - eye[:, [5, 4]], axis=2).mean(1)
    return height / np.linalg.norm(eye[:, 3] - eye[:, 0], axis=1)


def turned(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yaw and pitch in degrees of `upright` points, from the tip of the nose.

    Three points seen without perspective have one pose, but for its mirror image in depth (Alter 1994, "3-D
    pose from 3 points using weak-perspective"), and a nose points to the viewer. With a the line of the eyes
    and b the way from its middle to the nose, each over its true length, the larger singular value of [a b]
    is the scale.
    """
    length = np.hypot(NOSE_DOWN, NOSE_OUT)
    across = np.tile([1.0, 0.0], (len(points), 1))
    down = points[:, NOSE] / length * [1, -1]  # y up from here on
    plane = np.stack([across, down], 2)  # (n, 2, 2)
    scale = np.linalg.svd(plane, compute_uv=False)[:, 0]
    depth_down = np.sqrt(np.maximum(scale**2 - (down**2).sum(1), 0))
    depth_across = np.where(
        depth_down > 0, -(across * down).sum(1) / np.maximum(depth_down, 1e-12), np.sqrt(scale**2 - 1)
    )
    first = np.c_[across, depth_across] / scale[:, None]  # the face's own axis to the right
    second = np.c_[down, depth_down] / scale[:, None]  # the unit vector from the eyes to the nose
    third = np.cross(first, second)
    # the face's own normal: the nose is down by NOSE_DOWN and out by NOSE_OUT
    normal = (NOSE_OUT * second - NOSE_DOWN * third) / length
    return np.degrees(np.arctan2(normal[:, 0], normal[:, 2])), np.degrees(
        np.arcsin(np.clip(normal[:, 1], -1, 1))
    )

"""Edge-aware mask of an edit in a photograph: what the model changes, within the outlines of the photograph.

The model's pixels are few, so its change spills over outlines, and a change of light reaches the background.
Two guided filters (He et al. 2010; their fast form, He & Sun 2015) with the photograph as guide mend that.
One holds the change that a place has in common with like-coloured places nearby against that of all places
nearby: beside hair whose colour changes the background has less, inside one surface it is the same, whatever
is drawn there. The other grows the middle of the crop to the outline of the head. Outside the head an edit
counts where it draws something, a hat or hair, and not where it changes all of the background alike.
web/page/js/edges.js is the same.
"""

import cv2
import numpy as np

COARSE = 64  # places a side at which the filters' coefficients are found
NEAR = 0.04  # reach of the first filter, a share of the crop's side
WIDE = 0.15  # and of the second,
ROUNDS = 3  # which is done so often
SOFT = 0.003  # variance of a colour, in squared shares of the range, from which on it tells surfaces apart
SPILLS = (0.35, 0.85)  # share of the change nearby up to which a change counts for nothing, and in full
INNER = (0.62, 0.85)  # half axes of the ellipse of a head, in half sides of the crop
DRAWN = (0.4, 0.55)  # evenness of the change outside the head up to which it is drawn, and is light


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, Hermite's 3 t^2 - 2 t^3 between; `low` may be the greater."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def coarse(values: np.ndarray) -> np.ndarray:
    """Means of (s, s) or (s, s, 3) over blocks, at most COARSE a side, which divides a greater s."""
    count = min(COARSE, len(values))
    each = len(values) // count
    return values.reshape(count, each, count, each, -1).mean((1, 3)).reshape(count, count, *values.shape[2:])


class Guide:
    """Colour guided filter (He et al. 2010, eq. 14-16) by a picture float64 (s, s, 3) in [0, 1].

    `reach` is a share of its side.
    """

    def __init__(self, picture: np.ndarray, reach: float) -> None:
        self.fine = picture
        self.picture = coarse(picture)
        self.reach = max(1, round(reach * len(self.picture)))
        self.mean = self.boxed(self.picture)
        products = self.picture[..., :, None] * self.picture[..., None, :]
        covariance = self.boxed(products.reshape(*self.mean.shape[:2], 9)).reshape(products.shape)
        covariance -= self.mean[..., :, None] * self.mean[..., None, :]
        self.precision = np.linalg.inv(covariance + SOFT * np.eye(3))  # (c, c, 3, 3)

    def boxed(self, values: np.ndarray) -> np.ndarray:
        """Means of (c, c, ...) over `reach` places either way, the border repeated."""
        side = 2 * self.reach + 1
        layers = [
            cv2.blur(np.ascontiguousarray(layer), (side, side), borderType=cv2.BORDER_REPLICATE)
            for layer in np.moveaxis(np.atleast_3d(values), -1, 0)
        ]
        return np.stack(layers, -1).reshape(values.shape)

    def coefficients(self, values: np.ndarray) -> np.ndarray:
        """(c, c, 5) of coarse values: slopes along the colours, offset, and what the values would be where
        the picture is even, their twofold mean.
        """
        mean = self.boxed(values)
        covariance = self.boxed(self.picture * values[..., None]) - self.mean * mean[..., None]
        slope = (self.precision @ covariance[..., None])[..., 0]
        offset = mean - (slope * self.mean).sum(-1)
        return self.boxed(np.concatenate([slope, offset[..., None], mean[..., None]], -1))

    def filtered(self, values: np.ndarray) -> np.ndarray:
        """Coarse values, filtered."""
        found = self.coefficients(values)
        return (found[..., :3] * self.picture).sum(-1) + found[..., 3]

    def filtered_fine(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coarse values filtered in all places of the picture (s, s), and their twofold mean."""
        found = self.coefficients(values)
        large = [cv2.resize(layer, self.fine.shape[:2]) for layer in np.moveaxis(found, -1, 0)]
        return sum(large[i] * self.fine[..., i] for i in range(3)) + large[3], large[4]


def head(picture: np.ndarray) -> np.ndarray:
    """(s, s) 1 in the head in the middle of a crop, 0 outside of it, outlined as the picture is."""
    guide = Guide(picture, WIDE)
    side = len(guide.picture)
    across = (2 * np.arange(side) + 1) / side - 1
    away = np.hypot(across[None, :] / INNER[0], across[:, None] / INNER[1])
    # In half axes: head for certain up to 0.6, background for certain from 1.9 on
    found = ramp(away, 1.35, 0.65)
    for _ in range(ROUNDS - 1):
        found = np.clip(np.maximum(guide.filtered(found), ramp(away, 0.8, 0.6)), 0, 1) * ramp(away, 1.9, 1.4)
    return ramp(guide.filtered_fine(found)[0], 0.15, 0.55)


def mask(field: np.ndarray, crop: np.ndarray, fade: np.ndarray) -> np.ndarray:
    """(s, s) how much of a change (s, s, 3) in levels counts; `crop` uint8 (s, s, 3) of the photograph,
    `fade` (s, s) what counts of the crop at all. The size of the change makes no difference.
    """
    picture = crop / 255
    strength = np.abs(field).max(2).astype(np.float64) / 255
    alike, all_near = Guide(picture, NEAR).filtered_fine(coarse(strength))
    own = ramp(alike / np.maximum(all_near, 1e-9), *SPILLS)
    inside = head(picture)
    outside = (1 - inside) * fade
    total = (outside * strength).sum()
    evenness = total**2 / max(outside.sum() * (outside * strength**2).sum(), 1e-12)
    return own * (inside + (1 - inside) * ramp(evenness, DRAWN[1], DRAWN[0]))

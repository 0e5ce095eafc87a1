"""What can go wrong with a picture: blur and moiré, made on purpose so that the truth is known.

Decided here: how each fault is simulated and how strong it gets. Every function takes an 8-bit BGR picture and
returns one of the same size; randomness comes in as a generator, so that one seed gives one set of pictures.
Elsewhere: which pictures get which fault (make_pictures.py).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

SCREEN_CELL_PX = 3  # one screen pixel is a red, a green and a blue stripe


def out_of_focus(picture: Picture, rng: np.random.Generator) -> Picture:
    """Gaussian blur of 1.5 to 4 px: a lens that missed its focus."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(1.5, 4.0)), dtype=np.uint8)


def shaken(picture: Picture, rng: np.random.Generator) -> Picture:
    """Blur along a straight line of 9 to 21 px in any direction: a camera that moved while the shutter was open."""
    length_px = int(rng.integers(9, 22))
    angle = rng.uniform(0.0, math.pi)
    middle = length_px // 2
    reach = np.array([math.cos(angle), math.sin(angle)]) * middle
    start, end = (tuple(round(float(v)) for v in middle + sign * reach) for sign in (-1, 1))
    kernel = np.zeros((2 * middle + 1, 2 * middle + 1), np.float32)
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), dtype=np.uint8)


def blurred(picture: Picture, rng: np.random.Generator) -> Picture:
    """Either kind of blur, with equal chance."""
    return out_of_focus(picture, rng) if rng.random() < 0.5 else shaken(picture, rng)


def moire(picture: Picture, rng: np.random.Generator) -> Picture:
    """A photograph of the picture on a screen: the screen's stripes beat against the camera's pixels.

    The picture is drawn with red, green and blue stripes, turned by up to 6 degrees, scaled by up to 12 %, and
    sampled again by a slightly soft lens with no filter against aliasing. A faint sine wave is laid over it, as a
    screen that is refreshed while the shutter is open leaves one.
    """
    height, width = picture.shape[:2]
    screen = _striped(picture, depth=rng.uniform(0.35, 0.8))
    lens = cv2.GaussianBlur(screen, (0, 0), rng.uniform(0.6, 1.0))
    angle, scale = rng.uniform(-6.0, 6.0), rng.uniform(0.88, 1.0)
    step = SCREEN_CELL_PX * scale
    turn = cv2.getRotationMatrix2D((0.0, 0.0), angle, 1.0)[:, :2] * step
    seen_middle = np.array([width / 2, height / 2])
    screen_middle = seen_middle * SCREEN_CELL_PX
    sampling = np.column_stack([turn, screen_middle - turn @ seen_middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(lens, sampling, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
    wave = _sine_wave(height, width, rng)[..., np.newaxis]
    gain = float(picture.mean()) / max(float(seen.mean()), 1.0)  # stripes swallow light; the camera exposes for it
    return np.clip(seen * gain * wave, 0, 255).astype(np.uint8)


def _striped(picture: Picture, *, depth: float) -> NDArray[np.float32]:
    """Each pixel as a 3x3 cell with one stripe per colour and a dark line below, as on a screen.

    depth: 0 draws no stripes, 1 draws those of a screen seen from a hand's breadth away.
    """
    cell = np.zeros((SCREEN_CELL_PX, SCREEN_CELL_PX, 3), np.float32)
    for column, channel in enumerate((2, 1, 0)):
        cell[:, column, channel] = 1.0
    cell[-1] *= 0.35
    cell = 1.0 - depth * (1.0 - cell)
    large = np.repeat(np.repeat(picture, SCREEN_CELL_PX, axis=0), SCREEN_CELL_PX, axis=1).astype(np.float32)
    return np.asarray(large * np.tile(cell, (picture.shape[0], picture.shape[1], 1)), dtype=np.float32)


def _sine_wave(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Brightness factors around 1: a plane wave of 3 to 12 px period and 3 to 8 % strength in any direction."""
    period_px, angle, phase = rng.uniform(3.0, 12.0), rng.uniform(0.0, math.pi), rng.uniform(0.0, 2 * math.pi)
    strength = rng.uniform(0.03, 0.08)
    y, x = np.mgrid[0:height, 0:width]
    along = x * math.cos(angle) + y * math.sin(angle)
    return np.asarray(1.0 + strength * np.sin(2 * math.pi * along / period_px + phase))

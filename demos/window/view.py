"""Where the picture lies in the window: scaled by a whole number, nearest neighbour, letterboxed, above the bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pygame

BACKDROP = (14, 15, 18)


@dataclass(frozen=True, slots=True)
class View:
    """A frame of `frame_size` (height, width) in an area of `area` (width, height) screen pixels."""

    frame_size: tuple[int, int]
    area: tuple[int, int]

    @property
    def scale(self) -> int:
        """Screen pixels per frame pixel; 1 at least, so that a tiny window crops instead of blurring."""
        height, width = self.frame_size
        return max(1, min(self.area[0] // width, self.area[1] // height))

    @property
    def rect(self) -> pygame.Rect:
        """The picture's place on the screen."""
        height, width = self.frame_size
        rect = pygame.Rect(0, 0, width * self.scale, height * self.scale)
        rect.center = (self.area[0] // 2, self.area[1] // 2)
        return rect

    def to_frame(self, position: tuple[int, int]) -> tuple[float, float]:
        """A point of the screen as (x, y) in frame pixels; outside the picture it lies outside the frame."""
        rect = self.rect
        return (position[0] - rect.x) / self.scale, (position[1] - rect.y) / self.scale

    def inside(self, position: tuple[int, int]) -> bool:
        """Whether a point of the screen lies on the picture."""
        return self.rect.collidepoint(position)

    def draw(self, surface: pygame.Surface, frame: np.ndarray) -> None:
        """Draws a uint8 [h, w, 3] frame and the letterbox around it."""
        height, width, _ = frame.shape
        picture = pygame.image.frombuffer(np.ascontiguousarray(frame).tobytes(), (width, height), "RGB")
        rect = self.rect
        surface.fill(BACKDROP, pygame.Rect(0, 0, *self.area))
        surface.blit(pygame.transform.scale(picture, rect.size), rect)


def best_scale(frame_size: tuple[int, int], room: tuple[int, int], largest: int) -> int:
    """The largest whole scale, up to `largest`, at which the frame fits a (width, height) room; 1 at least."""
    height, width = frame_size
    return max(1, min(largest, room[0] // width, room[1] // height))

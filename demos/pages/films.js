"use strict";
// Films: every frame is a tile of one picture, so that all of them can be shown at the same tick.
const TICKS_PER_SECOND = 20;
const REST_TICKS = 12; // how long the last frame stays before the film begins again

function openFilm(canvas, film, source) {
  const picture = new Image();
  picture.src = source;
  canvas.width = film.width;
  canvas.height = film.height;
  const pen = canvas.getContext("2d");
  let shown = -1;
  const draw = (tick) => {
    const frame = Math.min(tick, film.ticks.length - 1);
    if (!picture.complete || !picture.naturalWidth || frame === shown) return;
    const column = frame % film.columns, row = Math.floor(frame / film.columns);
    pen.drawImage(picture, column * film.width, row * film.height, film.width, film.height,
      0, 0, film.width, film.height);
    shown = frame;
    canvas.dataset.frame = String(frame);
  };
  return { draw, ready: picture.decode() };
}

// Calls show(tick) twenty times a second for ticks 0 to last, over and over.
function makeClock(last, show) {
  const clock = { tick: 0, last, playing: !matchMedia("(prefers-reduced-motion: reduce)").matches };
  let owed = 0, before = performance.now();
  clock.go = (tick) => { clock.tick = tick; show(Math.min(tick, clock.last)); };
  const turn = (now) => {
    owed += ((now - before) / 1000) * TICKS_PER_SECOND;
    before = now;
    if (owed > 5) owed = 1;
    while (owed >= 1) {
      owed -= 1;
      if (clock.playing) clock.tick = clock.tick >= clock.last + REST_TICKS ? 0 : clock.tick + 1;
    }
    show(Math.min(clock.tick, clock.last));
    requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
  return clock;
}

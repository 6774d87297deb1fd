"use strict";
// Plays all films of a page in step.
const films = JSON.parse(document.getElementById("films").textContent);
const shown = [...document.querySelectorAll(".film")].map((card) => {
  const film = films[Number(card.dataset.film)];
  const sides = [...card.querySelectorAll("canvas")].map((canvas) => openFilm(canvas, film, film[canvas.dataset.side]));
  return { film, sides, keys: card.querySelector(".keys") };
});
const slider = document.querySelector(".controls input");
const button = document.querySelector(".controls button");
const clockFace = document.querySelector(".controls output");
const clock = makeClock(Number(slider.max), (tick) => {
  for (const { film, sides, keys } of shown) {
    for (const side of sides) side.draw(tick);
    const caption = film.captions[Math.min(tick, film.captions.length - 1)];
    const text = tick === 0 ? "start" : caption;
    if (keys.textContent !== text) keys.textContent = text;
  }
  slider.value = String(tick);
  clockFace.textContent = (tick / TICKS_PER_SECOND).toFixed(2) + " s";
  button.textContent = clock && clock.playing ? "Pause" : "Play";
});
button.addEventListener("click", () => { clock.playing = !clock.playing; });
slider.addEventListener("input", () => { clock.playing = false; clock.go(Number(slider.value)); });
document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLElement && ["INPUT", "BUTTON", "SUMMARY"].includes(event.target.tagName)) return;
  if (event.key === " ") { clock.playing = !clock.playing; event.preventDefault(); }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) { clock.playing = false; clock.go(Math.max(0, Math.min(clock.last, clock.tick + step))); }
});
Promise.all(shown.flatMap(({ sides }) => sides.map((side) => side.ready))).then(() => {
  document.body.dataset.ready = "yes";
});

"use strict";
// Two films at a time, one question, two keys; the sum with an exact binomial interval at the end.
const CONFIDENCE = 0.95;
const test = JSON.parse(document.getElementById("test").textContent);
const stage = document.querySelector(".stage"), bar = document.querySelector(".bar i");
const result = document.querySelector(".result"), count = document.getElementById("count");
const buttons = [...stage.querySelectorAll("button")];
const answers = [];
let sides = [], began = performance.now();
const clock = makeClock(0, (tick) => { for (const side of sides) side.draw(tick); });

function ask() {
  const pair = test.pairs[answers.length];
  sides = buttons.map((button, side) => openFilm(button.querySelector("canvas"), pair, pair.films[side]));
  clock.last = pair.ticks.length - 1;
  clock.tick = 0;
  count.textContent = `${answers.length + 1} of ${test.pairs.length}`;
  bar.style.width = `${(100 * answers.length) / test.pairs.length}%`;
  document.body.dataset.asked = String(answers.length);
  began = performance.now();
}

function answer(side) {
  if (answers.length >= test.pairs.length) return;
  const pair = test.pairs[answers.length];
  answers.push({
    name: pair.name, chosen: pair.sides[side], hit: pair.sides[side] === test.counted,
    seconds: Math.round((performance.now() - began) / 100) / 10,
  });
  if (answers.length < test.pairs.length) ask(); else finish();
}

// P(X >= hits) of a binomial distribution.
function tail(hits, trials, chance) {
  let sum = 0, logs = 0;
  for (let k = 0; k <= trials; k++) {
    if (k > 0) logs += Math.log(trials - k + 1) - Math.log(k);
    if (k >= hits) sum += Math.exp(logs + k * Math.log(chance) + (trials - k) * Math.log(1 - chance));
  }
  return sum;
}

// Clopper and Pearson, The use of confidence or fiducial limits, 1934.
function interval(hits, trials) {
  const rest = (1 - CONFIDENCE) / 2;
  const solve = (hits, wanted) => {
    let low = 0, high = 1;
    for (let k = 0; k < 60; k++) {
      const middle = (low + high) / 2;
      if (tail(hits, trials, middle) < wanted) low = middle; else high = middle;
    }
    return (low + high) / 2;
  };
  return [hits === 0 ? 0 : solve(hits, rest), hits === trials ? 1 : solve(hits + 1, 1 - rest)];
}

function finish() {
  const hits = answers.filter((one) => one.hit).length, trials = answers.length;
  const [low, high] = interval(hits, trials);
  const round = (value) => Math.round(value * 10000) / 10000;
  const summary = {
    question: test.question, counted: test.counted, models: test.models, seed: test.seed, trials, hits,
    share: round(hits / trials), interval: [round(low), round(high)], answers,
  };
  const percent = (value) => `${Math.round(100 * value)} %`;
  stage.hidden = true;
  result.hidden = false;
  count.textContent = "Done";
  bar.style.width = "100%";
  result.querySelector(".value").textContent = percent(hits / trials);
  const verdict = low > 0.5 ? test.verdicts.above : high < 0.5 ? test.verdicts.below : test.verdicts.even;
  result.querySelector("p").textContent =
    `${test.tells} in ${hits} of ${trials} pairs (95 % interval ${percent(low)} to ${percent(high)}). ${verdict}`;
  const text = JSON.stringify(summary, null, 1);
  result.querySelector("pre").textContent = text;
  const [copy, save, again] = result.querySelectorAll("button");
  copy.onclick = () => navigator.clipboard.writeText(text).then(() => { copy.textContent = "Copied"; });
  save.onclick = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "blind.json";
    link.click();
  };
  again.onclick = () => location.reload();
  copy.focus();
  document.body.dataset.done = "yes";
}

buttons.forEach((button, side) => button.addEventListener("click", () => answer(side)));
document.addEventListener("keydown", (event) => {
  const side = { ArrowLeft: 0, f: 0, ArrowRight: 1, j: 1 }[event.key];
  if (side === undefined || event.repeat) return;
  event.preventDefault();
  answer(side);
});
ask();

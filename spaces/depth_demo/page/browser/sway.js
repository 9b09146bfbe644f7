// A short sway of the scene as it is first seen: to the photo's own view and back, so that depth shows at once. It ends
// where it began, stops where a visitor takes over, and is left out for those who asked for less motion.
const LASTS_MS = 2600, STEP_MS = 33;
let turn = 0;  // number of the sway that goes on; 0: none

const canvas = () => document.querySelector("#scene canvas");
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Whether the scene is on the canvas by now: its picture can be read in the frame in which it was drawn, after that.
async function drawn() {
  await pause(20);
  return new Promise((resolve) => requestAnimationFrame(() => {
    const copy = Object.assign(document.createElement("canvas"), {width: 16, height: 16}), pen = copy.getContext("2d");
    const seen = canvas();
    if (!seen || !seen.width || !seen.height) return resolve(false);
    pen.drawImage(seen, 0, 0, 16, 16);
    const pixels = pen.getImageData(0, 0, 16, 16).data;
    const colours = new Set();
    for (let at = 0; at < pixels.length; at += 4) colours.add(pixels.slice(at, at + 3).map((v) => v >> 4).join());
    resolve(colours.size > 4);  // its ground is one colour
  }));
}

async function sway({from, to, radius}) {
  const mine = ++turn, asked = Date.now();
  const still = () => mine === turn;
  while (still() && !(await drawn())) if (Date.now() - asked > 30000) return;
  element.dataset.sway = "on";
  for (let began = Date.now(), share = 0; still() && share < 1; await pause(STEP_MS)) {
    share = Math.min((Date.now() - began) / LASTS_MS, 1);
    const way = (1 - Math.cos(2 * Math.PI * share)) / 2;
    props.value = {at: [...from.map((angle, axis) => angle + way * (to[axis] - angle)), radius]};
    trigger("input");
  }
  if (still()) turn = 0;
  element.dataset.sway = "done";
}

const taken = (event) => { if (event.target.closest?.("#scene, #front")) turn++; };
for (const name of ["pointerdown", "wheel", "keydown"]) document.addEventListener(name, taken, {capture: true, passive: true});

watch("value", () => {
  const asked = props.value;
  if (!asked) turn++;
  else if (asked.from && !matchMedia("(prefers-reduced-motion: reduce)").matches) sway(asked);
});

// Handles on the points of the picture to measure in: dragged with a pointer or moved with arrow keys (Shift: ten times
// as far). Python draws the points themselves, and gets the new places once a handle is let go.
const box = element.querySelector(".marks"), SETTLED_MS = 300;
const image = () => document.querySelector("#marked img");
let points = [], size = [1, 1], held = null, timer = 0;

// Where the picture is inside this element, which lies over it: its left and upper edge, and screen pixels for one.
function frame() {
  const picture = image(), own = element.getBoundingClientRect();
  if (!picture?.naturalWidth) return null;
  const seen = picture.getBoundingClientRect(), scale = Math.min(seen.width / size[0], seen.height / size[1]);
  const left = seen.left - own.left + (seen.width - size[0] * scale) / 2;
  return {left, top: seen.top - own.top + (seen.height - size[1] * scale) / 2, scale};
}

function draw() {
  const place = frame();
  while (box.children.length > points.length) box.lastChild.remove();
  while (box.children.length < points.length) {
    box.append(Object.assign(document.createElement("button"), {type: "button", className: "mark"}));
  }
  points.forEach(([x, y], number) => {
    const mark = box.children[number];
    mark.setAttribute("aria-label", `Point ${number + 1} at ${x}, ${y}; arrow keys move it`);
    mark.hidden = !place;
    if (!place) return;
    mark.style.left = `${place.left + (x + 0.5) * place.scale}px`;
    mark.style.top = `${place.top + (y + 0.5) * place.scale}px`;
  });
}

function move(number, x, y) {
  points[number] = [x, y].map((at, axis) => Math.min(Math.max(Math.round(at), 0), size[axis] - 1));
  box.children[number].classList.add("moving");
  draw();
}

function send() {
  clearTimeout(timer);
  timer = 0;
  props.value = {points, size};
  trigger("input");
}

function show() {
  if (held !== null || timer) return;  // an answer to what was before
  ({points, size} = props.value ? structuredClone(props.value) : {points: [], size: [1, 1]});
  for (const mark of box.children) mark.classList.remove("moving");
  draw();
}

const numberOf = (mark) => [...box.children].indexOf(mark);

box.addEventListener("pointerdown", (event) => {
  if (!event.target.matches(".mark") || event.button) return;
  held = {number: numberOf(event.target), moved: false, x: event.clientX, y: event.clientY};
  event.target.setPointerCapture(event.pointerId);
});
box.addEventListener("pointermove", (event) => {
  const place = frame();
  if (held === null || !place) return;
  held.moved ||= Math.hypot(event.clientX - held.x, event.clientY - held.y) > 3;
  if (!held.moved) return;
  const own = element.getBoundingClientRect();
  const at = [(event.clientX - own.left - place.left) / place.scale, (event.clientY - own.top - place.top) / place.scale];
  move(held.number, at[0] - 0.5, at[1] - 0.5);
});
for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, () => {
  const moved = held?.moved;
  held = null;
  if (moved) send();
});
box.addEventListener("keydown", (event) => {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  const number = numberOf(event.target);
  if (!step || number < 0) return;
  event.preventDefault();
  const far = Math.max(1, Math.round(size[0] / 400)) * (event.shiftKey ? 10 : 1);
  move(number, points[number][0] + far * step[0], points[number][1] + far * step[1]);
  clearTimeout(timer);
  timer = setTimeout(send, SETTLED_MS);
});
new ResizeObserver(draw).observe(element);
document.addEventListener("load", (event) => { if (event.target.closest?.("#marked")) draw(); }, true);
watch("value", show);
show();

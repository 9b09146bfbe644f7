// The bar of colours: two handles and two number fields for its near and far end. What Python sends is shown; what a
// visitor sets goes to Python once it is settled (a handle let go, Enter, an arrow key, a field left), never crossed.
const find = (selector) => element.querySelector(selector);
const ends = ["near", "far"];
let bar = null;

const rounded = (number) => Number(number.toFixed(bar.digits));

// Both ends after one was set: inside the bar, and pushing the other where they would meet.
function pushed(end, wanted) {
  const own = {near: bar.near, far: bar.far};
  const lowest = end === "near" ? 0 : bar.step, highest = end === "near" ? bar.most - bar.step : bar.most;
  own[end] = rounded(Math.min(Math.max(wanted, lowest), highest));
  if (own.far - own.near < bar.step - 1e-9) {
    const other = end === "near" ? "far" : "near";
    own[other] = rounded(end === "near" ? own.near + bar.step : own.far - bar.step);
  }
  return own;
}

function draw(own, typing) {
  for (const end of ends) {
    const handle = find(`.handle.${end}`), field = find(`.field.${end}`);
    handle.value = own[end];
    if (field !== typing) field.value = own[end];
    handle.setAttribute("aria-valuetext", `${own[end]} ${bar.unit}`);
    find(".scale").style.setProperty(`--${end}`, `${100 * own[end] / bar.most}%`);
  }
  find(".reset").disabled = own.near === bar.own[0] && own.far === bar.own[1];
}

function show() {
  bar = props.value;
  if (!bar) return;
  for (const part of element.querySelectorAll("input")) {
    Object.assign(part, {min: 0, max: bar.most, step: bar.step});
    if (part.classList.contains("handle")) part.step = "any";
  }
  element.querySelectorAll(".unit").forEach((part) => { part.textContent = bar.unit; });
  find(".ticks").innerHTML = bar.ticks.map(([place, text]) => `<span style="left:${place}%;transform:translateX(-${place}%)">${text}</span>`).join("");
  draw(bar);
}

function settle(own) {
  const changed = ends.some((end) => own[end] !== bar[end]);
  bar = {...bar, ...own};
  draw(bar);
  if (!changed) return;
  props.value = bar;
  trigger("input");
}

const endOf = (part) => part.classList.contains("near") ? "near" : "far";

element.addEventListener("input", (event) => {
  const part = event.target;
  if (!bar || part.value === "") return;
  if (part.classList.contains("handle")) draw(pushed(endOf(part), Number(part.value)));
});
element.addEventListener("change", (event) => {
  const part = event.target, end = endOf(part);
  if (!bar) return;
  const given = part.value === "" ? bar.own[end === "near" ? 0 : 1] : Number(part.value);
  settle(pushed(end, given));
});
element.addEventListener("keydown", (event) => {  // a handle's arrow keys: a hundredth of the range, not of the bar
  const part = event.target;
  const steps = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10}[event.key];
  if (!bar || !steps || !part.classList.contains("handle")) return;
  event.preventDefault();
  settle(pushed(endOf(part), bar[endOf(part)] + steps * bar.step));
});
element.addEventListener("click", (event) => {
  if (bar && event.target.closest(".reset")) settle({near: bar.own[0], far: bar.own[1]});
});
watch("value", show);
show();

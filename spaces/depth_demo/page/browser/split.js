// The handle between photo and depth: a slider that lies on the picture itself, whatever its shape.
const stage = () => document.querySelector("#stage");
const handle = element.querySelector("input");

function place() {
  const box = stage(), image = box && box.querySelector("#depth img");
  if (!image || !image.naturalWidth) return;
  box.style.setProperty("--shape", `${image.naturalWidth} / ${image.naturalHeight}`);
  const scale = Math.min(box.clientWidth / image.naturalWidth, box.clientHeight / image.naturalHeight);
  const wide = image.naturalWidth * scale, left = (box.clientWidth - wide) / 2;
  box.style.setProperty("--wide", `${wide}px`);
  box.style.setProperty("--left", `${left}px`);
  box.style.setProperty("--split", `${left + wide * handle.value / 100}px`);
}

handle.addEventListener("input", place);
// Else the browser carries the picture below the handle away, as a file to be dropped.
document.addEventListener("dragstart", (event) => { if (event.target.closest?.("#stage")) event.preventDefault(); });
new ResizeObserver(place).observe(element);
document.addEventListener("load", (event) => { if (event.target.closest?.("#stage")) place(); }, true);
place();

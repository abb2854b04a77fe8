// Shows one slice of a volume with the mask over it. The server draws both as PNG; the browser lays them over each other.
"use strict";

async function startViewer(section) {
  const find = (name) => section.querySelector(name);
  const [slider, opacity, stage, picture] = [".slice", ".opacity", ".stage", ".picture"].map(find);
  const layers = ["volume", "mask"].map((name) => find(`img.${name}`));
  const address = section.dataset.slices;

  const answer = await fetch(`${address}?v=${section.dataset.version}`);
  const about = await answer.json();
  if (about.error) {
    const problem = find(".problem");
    problem.textContent = about.error;
    problem.hidden = false;
    for (const part of section.querySelectorAll(".controls, .stage, .areas, .slider, .where")) part.hidden = true;
    return;
  }

  const chosen = () => find("input[name=view]:checked").value;
  const source = (layer, index) => `${address}${chosen()}/${layer}/${index}.png?v=${section.dataset.version}`;

  function draw() {
    const view = about.views[chosen()];
    const index = Number(slider.value);
    for (const image of layers) image.src = source(image.className, index);
    layers[1].style.opacity = opacity.value / 100;
    const area = view.area_mm2[index];
    const text = `Slice ${index + 1} of ${view.slices}, ${(index * view.step_mm).toFixed(1)} mm; mask ${area ? `${area} mm²` : "none here"}`;
    find(".where").textContent = text;
    slider.setAttribute("aria-valuetext", text);
    layers[0].alt = `${chosen()}, ${text}`;
    for (const next of [index - 1, index + 1]) {
      if (next < 0 || next >= view.slices) continue;
      for (const image of layers) new Image().src = source(image.className, next); // ready before it is asked for
    }
  }

  function change(index) {
    slider.value = index;
    draw();
  }

  function show(index) {
    const view = about.views[chosen()];
    slider.max = view.slices - 1;
    picture.style.aspectRatio = `${view.width_mm} / ${view.height_mm}`;
    ["left", "right", "top", "bottom"].forEach((side, place) => (find(`.${side}`).textContent = view.letters[place]));
    const most = Math.max(...view.area_mm2, 1e-9);
    const step = 100 / view.slices;
    find(".areas path").setAttribute(
      "d",
      view.area_mm2.map((area, i) => (area ? `M${i * step} 20h${step}v${(-20 * area) / most}h${-step}z` : "")).join(""),
    );
    change(index ?? view.largest ?? Math.floor(view.slices / 2));
  }

  section.querySelectorAll("input[name=view]").forEach((radio) => radio.addEventListener("change", () => show()));
  slider.addEventListener("input", draw);
  opacity.addEventListener("input", draw);
  find(".largest").addEventListener("click", () => show());
  find(".largest").disabled = about.views.axial.largest === null;
  stage.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    change(Number(slider.value) + steps[event.key]);
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    change(Number(slider.value) + Math.sign(event.deltaY));
  }, { passive: false });
  show();
}

document.querySelectorAll("[data-slices]").forEach(startViewer);

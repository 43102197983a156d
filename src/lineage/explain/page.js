// Toggles of the page: methods are columns, detections are rows.
for (const box of document.querySelectorAll("[data-kind]")) {
  box.addEventListener("change", () => {
    for (const cell of document.querySelectorAll(`[data-${box.dataset.kind}]`)) {
      if (cell.dataset[box.dataset.kind] === box.dataset.value) cell.hidden = !box.checked;
    }
  });
}
document.getElementById("heat").addEventListener("input", (event) => {
  document.documentElement.style.setProperty("--heat", event.target.value / 100);
});
document.getElementById("boxes").addEventListener("change", (event) => {
  document.body.classList.toggle("bare", !event.target.checked);
});

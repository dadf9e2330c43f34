"use strict";
const body = document.querySelector("#images tbody");
if (body) {
  const rows = [...body.rows];
  const search = document.getElementById("search");
  const choices = [...document.querySelectorAll("select[data-key]")];
  const shown = document.getElementById("shown");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every(word => text.includes(word))
        && choices.every(choice => !choice.value || row.dataset[choice.dataset.key] === choice.value);
      row.hidden = !fits;
      if (fits) count += 1;
    }
    shown.textContent = `${count} of ${rows.length} shown`;
  };
  search.addEventListener("input", filter);
  choices.forEach(choice => choice.addEventListener("change", filter));
  const heads = [...document.querySelectorAll("#images thead th")];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.sort;
    const order = new Intl.Collator(undefined, { numeric: true });
    rows.sort((a, b) => (down ? -1 : 1) * order.compare(key(a), key(b)));
    body.append(...rows);
  }));
  document.querySelector(".controls").hidden = false;
  filter();
}

// The summary tables: sort by a column, filter rows, copy what is shown.
(() => {
  "use strict";

  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // Cells of a row under each heading: a metric has two, its value and its interval.
  function columns(table) {
    let at = 0;
    return [...table.tHead.rows[0].cells].map((head) => {
      const column = { head, at, span: head.colSpan, kind: head.dataset.kind, name: head.dataset.name };
      at += head.colSpan;
      return column;
    });
  }

  const text = (cell) => {
    const copy = cell.cloneNode(true);
    for (const small of copy.querySelectorAll("small")) small.remove();
    return copy.textContent.trim().replace(/\s+/g, " ");
  };

  // Infinity is a number here, what is missing is NaN.
  const number = (value) => (value === "" || value === undefined ? NaN : Number(value));

  function sort(table, column, descending) {
    const body = table.tBodies[0];
    const key = column.kind === "text"
      ? (row) => text(row.cells[column.at])
      : (row) => number(row.cells[column.at].dataset.value);
    const rows = [...body.rows].map((row) => [key(row), row]);
    const missing = (v) => typeof v === "number" && Number.isNaN(v);
    rows.sort(([a], [b]) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b); // to the end, either way
      const order = column.kind === "text" ? collator.compare(a, b) : a === b ? 0 : a < b ? -1 : 1;
      return descending ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
    for (const { head } of columns(table)) {
      head.setAttribute("aria-sort", head !== column.head ? "none" : descending ? "descending" : "ascending");
    }
  }

  const shown = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden);

  function filter(table, tools) {
    const words = tools.querySelector(".find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const family = tools.querySelector(".family").value;
    for (const row of table.tBodies[0].rows) {
      const name = `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase();
      row.hidden = (family && row.dataset.family !== family) || !words.every((word) => name.includes(word));
    }
    const count = shown(table).length, all = table.tBodies[0].rows.length;
    tools.querySelector(".count").textContent = count === all ? "" : `${count} of ${all} points`;
  }

  // A column as [heading, text of a row] pairs; a metric's interval goes with its value.
  function fields(table) {
    return columns(table).map((column) => [
      column.head.textContent.trim(),
      (row) => {
        const interval = column.span > 1 ? text(row.cells[column.at + 1]) : "";
        return text(row.cells[column.at]) + (interval ? ` [${interval.replace(" to ", ", ")}]` : "");
      },
    ]);
  }

  const latexed = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "–": "--",
    "↑": "$\\uparrow$", "↓": "$\\downarrow$", "∞": "$\\infty$", "†": "$\\dagger$", "×": "$\\times$" };
  const latex = (value) => value.replace(/[&%$#_{}]/g, "\\$&|").replace(/\\(?![&%$#_{}]\|)|[~^−–↑↓∞†×]/g, (c) => latexed[c]).replace(/(\\[&%$#_{}])\|/g, "$1");
  const markdown = (value) => value.replace(/[\\`*_|<>[\]&]/g, "\\$&");
  const quoted = (value) => (/[",\n]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value);

  const forms = {
    markdown(table) {
      const all = fields(table);
      const line = (cells) => `| ${cells.map(markdown).join(" | ")} |`;
      const rule = `| ${columns(table).map((c) => (c.kind === "text" ? "---" : "---:")).join(" | ")} |`;
      return [line(all.map(([head]) => head)), rule, ...shown(table).map((row) => line(all.map(([, of]) => of(row))))].join("\n") + "\n";
    },
    latex(table) {
      const all = fields(table);
      const line = (cells) => `${cells.map(latex).join(" & ")} \\\\`;
      const format = columns(table).map((c) => (c.kind === "text" ? "l" : "r")).join("");
      const rows = shown(table).map((row) => line(all.map(([, of]) => of(row))));
      return [`\\begin{tabular}{${format}}`, "\\toprule", line(all.map(([head]) => head)), "\\midrule", ...rows, "\\bottomrule", "\\end{tabular}"].join("\n") + "\n";
    },
    // Every digit of the summary, not those that are shown.
    csv(table) {
      const heads = [], cells = [];
      for (const { at, span, kind, name } of columns(table)) {
        heads.push(name);
        cells.push((row) => (kind === "text" || name === "n" ? text(row.cells[at]) : row.cells[at].dataset.value));
        if (span > 1) {
          heads.push(`${name}_lo`, `${name}_hi`);
          cells.push((row) => row.cells[at + 1].dataset.low, (row) => row.cells[at + 1].dataset.high);
        }
      }
      return [heads, ...shown(table).map((row) => cells.map((of) => of(row)))].map((r) => r.map(quoted).join(",")).join("\n") + "\n";
    },
  };

  async function copy(value) {
    try {
      await navigator.clipboard.writeText(value);
      return true;
    } catch { // a page from the disk, or an older browser
      const area = document.createElement("textarea");
      area.value = value;
      area.className = "unseen";
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }

  for (const tools of document.querySelectorAll(".tools[data-for]")) {
    const table = document.getElementById(tools.dataset.for);
    for (const column of columns(table)) {
      const button = column.head.querySelector("button");
      button.addEventListener("click", () => sort(table, column, column.head.getAttribute("aria-sort") === "ascending"));
    }
    const update = () => filter(table, tools);
    tools.querySelector(".find").addEventListener("input", update);
    tools.querySelector(".family").addEventListener("change", update);
    for (const button of tools.querySelectorAll("[data-form]")) {
      button.addEventListener("click", async () => {
        const rows = shown(table).length;
        const done = await copy(forms[button.dataset.form](table));
        button.focus();
        tools.querySelector(".count").textContent = done
          ? `Copied ${rows} ${rows === 1 ? "row" : "rows"} as ${button.textContent}.`
          : "The browser does not let this page copy.";
      });
    }
    tools.addEventListener("submit", (event) => event.preventDefault());
  }
  window.codecbench = window.codecbench || {};
  window.codecbench.table = (id, form) => forms[form](document.getElementById(id));
})();

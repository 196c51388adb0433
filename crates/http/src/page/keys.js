// Selecting keys: a combobox of the server's keys, and a chip for each selected one.
import { COLOURS } from "/assets/chart.js";
import { address, ask, paced } from "/assets/api.js";
import { keyText } from "/assets/format.js";

/** The number of lines in one chart that people can still distinguish. */
export const MOST = 6;

export class Keys {
  constructor(changed) {
    Object.assign(this, { changed, view: null, chosen: [], found: [], at: -1 });
    this.input = document.getElementById("key-input");
    this.list = document.getElementById("key-list");
    this.chips = document.getElementById("chips");
    const look = paced(120, () => this.look());
    this.input.addEventListener("input", look);
    this.input.addEventListener("focus", look);
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const item = event.target.closest("[data-at]");
      if (item) this.add(this.found[Number(item.dataset.at)]);
    });
  }

  /** Shows these keys of this view, without notifying the page. */
  set(view, chosen) {
    Object.assign(this, { view, chosen });
    const colour = (i) => (chosen.length === 1 ? "var(--stone)" : COLOURS[i % COLOURS.length]);
    this.chips.replaceChildren(...chosen.map((key, i) => {
      const item = document.createElement("li"), mark = document.createElement("i");
      item.className = "chip";
      mark.style.background = colour(i);
      const text = document.createElement("span"), close = document.createElement("button");
      text.textContent = keyText(key);
      close.type = "button";
      close.textContent = "×";
      close.setAttribute("aria-label", `Remove ${keyText(key)}`);
      close.addEventListener("click", () => { this.toggle(key); this.input.focus(); });
      item.append(mark, text, close);
      return item;
    }));
    this.input.placeholder = chosen.length ? "" : "all keys";
    document.getElementById("key-hint").textContent = view ? `(${view.key.join(", ")})` : "";
  }

  has(key) {
    return this.chosen.some((other) => same(key, other));
  }

  toggle(key) {
    if (this.has(key)) this.changed(this.chosen.filter((other) => !same(key, other)));
    else this.changed([...this.chosen, key].slice(-MOST));
  }

  add(key) {
    this.input.value = "";
    this.close();
    if (!this.has(key)) this.toggle(key);
  }

  async look() {
    if (!this.view || document.activeElement !== this.input) return;
    const typed = this.input.value;
    const prefix = typed.split(/\s*(?:→|,)\s*/).slice(0, this.view.key.length);
    while (prefix.length && prefix.at(-1) === "") prefix.pop();
    let [found, more] = [[], false];
    // Keys are case-sensitive; a user who types lower case may mean upper case.
    for (const text of new Set([prefix.join("\n"), prefix.join("\n").toUpperCase()])) {
      try {
        const answer = await ask(address(this.view.name, "keys", { prefix: text ? text.split("\n") : [], limit: 50 }));
        [found, more] = [answer.keys, answer.more];
      } catch { /* There is nothing to choose from, and the page says why elsewhere. */ }
      if (found.length) break;
    }
    // The user has typed more, which another request handles, or no longer needs the list.
    if (typed !== this.input.value || document.activeElement !== this.input) return;
    this.found = found;
    this.at = found.length && typed ? 0 : -1;
    this.show(more);
  }

  show(more = false) {
    const items = this.found.map((key, at) => {
      const item = document.createElement("li");
      item.id = `key-${at}`;
      item.role = "option";
      item.dataset.at = at;
      item.setAttribute("aria-selected", String(at === this.at));
      item.textContent = keyText(key) + (this.has(key) ? " ✓" : "");
      return item;
    });
    if (more || !items.length) {
      const note = document.createElement("li");
      note.className = "note";
      note.role = "option";
      note.setAttribute("aria-disabled", "true");
      note.setAttribute("aria-selected", "false");
      note.textContent = items.length ? "… type to find more" : "no such key";
      items.push(note);
    }
    this.list.replaceChildren(...items);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.mark();
  }

  mark() {
    [...this.list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === this.at)));
    if (this.at >= 0) {
      this.input.setAttribute("aria-activedescendant", `key-${this.at}`);
      this.list.children[this.at].scrollIntoView({ block: "nearest" });
    } else this.input.removeAttribute("aria-activedescendant");
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) { this.look(); return; }
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.at = Math.min(this.found.length - 1, Math.max(0, this.at + step));
      this.mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (!this.list.hidden && this.at >= 0) this.add(this.found[this.at]);
    } else if (event.key === "Escape") {
      this.close();
    } else if (event.key === "Backspace" && !this.input.value && this.chosen.length) {
      this.toggle(this.chosen.at(-1));
    }
  }
}

export function same(a, b) {
  return a.length === b.length && a.every((part, i) => part === b[i]);
}

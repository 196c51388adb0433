// The refused rows with their reasons, by page, for people who correct the source.
import { Refusal, ask } from "/assets/api.js";
import { show } from "/assets/format.js";
import { element } from "/assets/tables.js";

const ROWS = 50;
const by = (id) => document.getElementById(id);

export class Refused {
  /** `changed` is called when it is opened or closed. */
  constructor(changed) {
    Object.assign(this, { changed, isOpen: false, pages: [""], next: null, total: null, shown: null });
    by("refused-close").addEventListener("click", () => { this.toggle(false); this.opener?.focus(); changed(); });
    by("refused-prev").addEventListener("click", () => { if (this.pages.length > 1) { this.pages.pop(); this.load(); } });
    by("refused-next").addEventListener("click", () => { if (this.next) { this.pages.push(this.next); this.load(); } });
  }

  /** A button with the number of rows, which opens it. It is always the same element, so that it keeps the focus. */
  button(text) {
    if (!this.opener) {
      this.opener = element("button");
      this.opener.type = "button";
      this.opener.addEventListener("click", () => {
        this.toggle(true);
        by("refused-title").focus();
        by("refused").scrollIntoView({ block: "nearest" });
        this.changed();
      });
    }
    if (this.opener.textContent !== text) this.opener.textContent = text;
    this.opener.setAttribute("aria-label", `${text} refused rows: show them`);
    return this.opener;
  }

  toggle(isOpen) {
    if (isOpen && !this.isOpen) { this.pages = [""]; this.load(); }
    this.isOpen = isOpen;
    by("refused").hidden = !isOpen;
  }

  /** Notes the present number of rows. */
  look(total) {
    const hasMore = this.total !== null && total !== this.total;
    this.total = total;
    // There are more rows after the shown ones.
    if (hasMore && this.isOpen && !this.next) this.load();
  }

  async load() {
    const after = this.pages.at(-1);
    let answer;
    try {
      answer = await ask(`/api/refused?limit=${ROWS}${after ? `&after=${after}` : ""}`);
    } catch (error) {
      if (error instanceof Refusal) this.say(error.message);
      return;
    }
    if (after !== this.pages.at(-1)) return;
    this.say("");
    this.next = answer.next;
    const first = (this.pages.length - 1) * ROWS;
    by("refused-none").hidden = answer.total > 0;
    by("reasons-body").replaceChildren(...answer.reasons.map(({ reason, rows }) => {
      const row = element("tr");
      row.append(element("td", reason), element("td", show(rows), "num"));
      return row;
    }));
    by("refused-body").replaceChildren(...answer.rows.map((found) => {
      const row = element("tr"), text = element("td");
      text.append(element("code", found.row));
      row.append(element("td", show(found.line), "num"), element("td", found.reason), text);
      return row;
    }));
    for (const id of ["reasons", "refused-rows"]) by(id).parentElement.hidden = answer.rows.length === 0 && answer.reasons.length === 0;
    by("refused-of").textContent = answer.rows.length ? `${show(first + 1)} to ${show(first + answer.rows.length)} of ${show(answer.total)}` : "";
    by("refused-prev").setAttribute("aria-disabled", String(this.pages.length === 1));
    by("refused-next").setAttribute("aria-disabled", String(!this.next));
    by("refused-pager").hidden = this.pages.length === 1 && !this.next;
  }

  say(text) {
    by("refused-problem").textContent = text;
    by("refused-problem").hidden = !text;
    if (text) for (const id of ["reasons", "refused-rows"]) by(id).parentElement.hidden = true;
    if (text) by("refused-pager").hidden = true;
  }
}

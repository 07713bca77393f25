"use strict";
(() => {
  const reduce = (value, low, high) => Math.min(Math.max(value, low), high);

  class Viewer {
    constructor(figure) {
      this.figure = figure;
      this.stage = figure.querySelector(".stage");
      this.plane = figure.querySelector(".layers");
      this.layers = [...figure.querySelectorAll(".layer")];
      this.tag = figure.querySelector(".tag");
      this.bar = figure.querySelector(".scale");
      this.place = figure.querySelector(".place");
      this.facts = JSON.parse(figure.dataset.facts);
      this.shown = 0;
      this.touches = new Map();
      this.timer = 0;
      this.others = [];
      this.fit();
      this.listen();
      new ResizeObserver(() => this.fitted ? this.fit() : this.draw()).observe(this.stage);
    }
    size() {
      const box = this.stage.getBoundingClientRect();
      return { w: box.width, h: box.height, ph: box.width * this.facts.height / this.facts.width };
    }
    fit() {
      const { w, h, ph } = this.size();
      this.least = Math.min(1, h / ph);
      // On a narrow page a long image would be a thin strip: it fills the height, and is drawn aside.
      this.scale = ph < 0.55 * h ? h / ph : this.least;
      this.x = (w - w * this.scale) / 2;
      this.y = (h - ph * this.scale) / 2;
      this.fitted = true;
      this.draw();
    }
    draw() {
      const { w, h, ph } = this.size();
      const width = w * this.scale, height = ph * this.scale;
      this.x = width <= w ? (w - width) / 2 : reduce(this.x, w - width, 0);
      this.y = height <= h ? (h - height) / 2 : reduce(this.y, h - height, 0);
      for (const plane of [this.plane, ...this.others.map(stage => stage.firstElementChild)]) {
        plane.style.transform = `translate(${this.x}px,${this.y}px) scale(${this.scale})`;
      }
      this.stage.classList.toggle("moved", height > h + 1);
      for (const stage of [this.stage, ...this.others]) stage.classList.toggle("near", width / this.facts.width > 2);
      if (this.bar && this.facts.pixel_scale) {
        const perArcsec = width / (this.facts.width * this.facts.binning * this.facts.pixel_scale);
        const steps = [.05, .1, .2, .5, 1, 2, 5, 10, 20, 50, 100];
        const length = steps.filter(s => s * perArcsec <= w / 5).pop() || steps[0];
        this.bar.style.width = `${length * perArcsec}px`;
        this.bar.firstElementChild.textContent = `${length}″`;
      }
    }
    zoom(factor, cx, cy) {
      const { w, h } = this.size();
      cx = cx ?? w / 2; cy = cy ?? h / 2;
      const next = reduce(this.scale * factor, this.least, 40);
      this.x = cx - (cx - this.x) * next / this.scale;
      this.y = cy - (cy - this.y) * next / this.scale;
      this.scale = next;
      this.fitted = false;
      this.draw();
    }
    move(dx, dy) { this.x += dx; this.y += dy; this.fitted = false; this.draw(); }
    next() {
      this.shown = (this.shown + 1) % this.layers.length;
      this.layers.forEach((layer, k) => layer.classList.toggle("shown", k === this.shown));
      this.tag.textContent = this.layers[this.shown].alt;
    }
    blink() {
      if (this.layers.length < 2) return;
      if (this.timer) { clearInterval(this.timer); this.timer = 0; }
      else { this.next(); this.timer = setInterval(() => this.next(), 700); }
      // Read aloud at each change it would never end.
      this.tag.setAttribute("aria-live", this.timer ? "off" : "polite");
      this.press("blink", !!this.timer);
    }
    apart() {
      if (this.others.length) {
        this.others.forEach(stage => stage.remove());
        this.others = [];
      } else {
        // One more stage for each of the other images; all show the same part.
        while (this.shown) this.next();
        this.others = this.layers.slice(1).map(layer => {
          const stage = document.createElement("div"), plane = this.plane.cloneNode(false), tag = this.tag.cloneNode(false);
          stage.className = this.stage.className.replace("held", "") + " apart-stage";
          stage.setAttribute("style", this.stage.getAttribute("style"));
          plane.append(layer.cloneNode());
          plane.firstElementChild.classList.add("shown");
          tag.textContent = layer.alt;
          tag.removeAttribute("aria-live");
          stage.append(plane, tag);
          return stage;
        });
        this.stage.after(...this.others);
      }
      this.press("apart", this.others.length > 0);
      this.draw();
    }
    press(name, on) { this.figure.querySelector(`[data-do=${name}]`)?.setAttribute("aria-pressed", String(on)); }
    toggle(name) {
      const on = this.stage.classList.toggle(name);
      this.others.forEach(stage => stage.classList.toggle(name, on));
      this.press(name, on);
    }
    act(name) {
      const actions = {
        next: () => this.next(), blink: () => this.blink(), apart: () => this.apart(), in: () => this.zoom(1.5), out: () => this.zoom(1 / 1.5),
        fit: () => this.fit(), invert: () => this.toggle("invert"), grey: () => this.toggle("grey"),
      };
      actions[name]();
    }
    listen() {
      this.figure.querySelectorAll("[data-do]").forEach(b => b.addEventListener("click", () => this.act(b.dataset.do)));
      const keys = { "+": "in", "=": "in", "-": "out", "0": "fit", b: "next", s: "apart", " ": "blink", i: "invert", g: "grey" };
      const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
      this.stage.addEventListener("keydown", event => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const name = keys[event.key];
        if (name && (this.layers.length > 1 || !["next", "blink", "apart"].includes(name))) this.act(name);
        else if (moves[event.key]) this.move(...moves[event.key]);
        else return;
        event.preventDefault();
      });
      this.stage.addEventListener("wheel", event => {
        // A page that is scrolled by does not zoom its images.
        if (!event.ctrlKey && document.activeElement !== this.stage) return;
        event.preventDefault();
        const box = this.stage.getBoundingClientRect();
        this.zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
      }, { passive: false });
      this.stage.addEventListener("dblclick", event => {
        const box = this.stage.getBoundingClientRect();
        this.zoom(2, event.clientX - box.left, event.clientY - box.top);
      });
      this.stage.addEventListener("pointerdown", event => {
        this.touches.set(event.pointerId, [event.clientX, event.clientY]);
        this.stage.setPointerCapture(event.pointerId);
        this.stage.classList.add("held");
      });
      this.stage.addEventListener("pointermove", event => this.drag(event));
      for (const end of ["pointerup", "pointercancel"]) {
        this.stage.addEventListener(end, event => {
          this.touches.delete(event.pointerId);
          this.stage.classList.toggle("held", this.touches.size > 0);
        });
      }
      this.stage.addEventListener("pointerleave", () => { this.place.textContent = ""; });
    }
    drag(event) {
      const before = this.touches.get(event.pointerId), now = [event.clientX, event.clientY];
      if (!before) { this.tell(event); return; }
      const other = [...this.touches].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = p => Math.hypot(p[0] - other[0], p[1] - other[1]);
        const box = this.stage.getBoundingClientRect();
        this.zoom(apart(now) / Math.max(1, apart(before)), (now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top);
      } else this.move(now[0] - before[0], now[1] - before[1]);
      this.touches.set(event.pointerId, now);
    }
    tell(event) {
      const box = this.stage.getBoundingClientRect(), f = this.facts;
      const perPixel = box.width * this.scale / (f.width * f.binning);
      const x = f.x0 + (event.clientX - box.left - this.x) / perPixel;
      const y = f.y0 + f.height * f.binning - (event.clientY - box.top - this.y) / perPixel;
      let words = `x ${(x + .5).toFixed(1)}  y ${(y + .5).toFixed(1)}`;
      if (f.wcs) words += `  ${sky(f.wcs, x + .5, y + .5)}`;
      this.place.textContent = words;
    }
  }

  // Tangent plane (Calabretta & Greisen 2002), FITS pixels that count from 1.
  function sky(w, x, y) {
    const rad = Math.PI / 180, dx = x - w.CRPIX1, dy = y - w.CRPIX2;
    const xi = (w.CD1_1 * dx + w.CD1_2 * dy) * rad, eta = (w.CD2_1 * dx + w.CD2_2 * dy) * rad;
    const d0 = w.CRVAL2 * rad, t = Math.cos(d0) - eta * Math.sin(d0);
    const ra = ((w.CRVAL1 + Math.atan2(xi, t) / rad) % 360 + 360) % 360;
    const dec = Math.atan2(Math.sin(d0) + eta * Math.cos(d0), Math.hypot(xi, t)) / rad;
    const sexagesimal = (v, digits) => {
      const total = Math.round(v * 3600 * 10 ** digits) / 10 ** digits;
      const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
      return `${String(h).padStart(2, "0")}:${String(m).padStart(2, "0")}:${s.toFixed(digits).padStart(3 + digits, "0")}`;
    };
    return `${sexagesimal(ra / 15, 2)} ${dec < 0 ? "−" : "+"}${sexagesimal(Math.abs(dec), 1)}`;
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(h => h.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows];
      const all = rows.every(row => key(row) === "" || !isNaN(Number(key(row))));
      rows.sort((a, b) => {
        const [p, q] = [key(a), key(b)];
        if (p === "" || q === "") return (p === "") - (q === "");
        return (all ? p - q : p.localeCompare(q)) * (up ? 1 : -1);
      });
      table.tBodies[0].append(...rows);
    }));
  }

  const openTarget = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    target?.closest("details")?.setAttribute("open", "");
  };
  window.keyholeViewers = [...document.querySelectorAll(".viewer")].map(figure => new Viewer(figure));
  document.querySelectorAll(".sortable").forEach(sortable);
  addEventListener("hashchange", openTarget);
  openTarget();
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(d => { d.open = true; }));
})();

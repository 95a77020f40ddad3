'use strict';
// What the plots share: the data of the page, colours, numbers as people read them, and the part of the run that is shown.
const data = JSON.parse(document.getElementById('data').textContent);

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const variantColour = (i) => colour('v' + (i % 7));
const dashes = [[], [8, 4], [2, 3], [12, 3, 3, 3], [5, 2], [14, 5], [1, 5]];
const variantDash = (i) => dashes[(i + Math.floor(i / 7)) % dashes.length];  // no two alike among 49

function element(parent, tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  parent.append(e);
  return e;
}

function fourDigits(v) { return Math.abs(v) >= 1000 ? v.toFixed(0) : String(Number(v.toPrecision(4))); }

// Seconds as text; `span` chooses the unit, so that all numbers of an axis share it.
function timeText(seconds, span = seconds) {
  const units = [['s', 1], ['ms', 1e-3], ['us', 1e-6], ['ns', 1e-9]];
  const [unit, size] = units.find(([, size]) => Math.abs(span) >= size) || units[3];
  return seconds === 0 ? '0' : fourDigits(seconds / size) + ' ' + unit;
}

// The shown part of the run, in seconds. Whoever draws over time listens.
const view = {
  from: 0, to: data.end, listeners: [],
  show(from, to) {
    if (from === this.from && to === this.to) return;
    this.from = from, this.to = to;
    for (const listen of this.listeners) listen(from, to);
  },
};

// Things to be drawn again when colours or sizes change.
const redraws = [];
function redrawAll() { for (const draw of redraws) draw(); }
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawAll);
addEventListener('beforeprint', () => {
  document.documentElement.dataset.theme = 'light';
  for (const details of document.querySelectorAll('details')) details.open = true;
  redrawAll();
});
addEventListener('afterprint', () => { delete document.documentElement.dataset.theme; redrawAll(); });
let resizing = 0;
addEventListener('resize', () => { clearTimeout(resizing); resizing = setTimeout(redrawAll, 100); });

// --- the sliders ---
const fromSlider = document.getElementById('from'), toSlider = document.getElementById('to');
function slid() {
  const a = Math.min(fromSlider.value, toSlider.value), b = Math.max(fromSlider.value, toSlider.value);
  if (b > a) view.show(a / 1000 * data.end, b / 1000 * data.end);
}
fromSlider.addEventListener('input', slid);
toSlider.addEventListener('input', slid);
document.getElementById('all').addEventListener('click', () => view.show(0, data.end));
function showSpan() {
  fromSlider.value = Math.round(view.from / data.end * 1000), toSlider.value = Math.round(view.to / data.end * 1000);
  document.getElementById('span').textContent = timeText(view.from, view.to) + ' to ' + timeText(view.to);
}
view.listeners.push(showSpan);
showSpan();

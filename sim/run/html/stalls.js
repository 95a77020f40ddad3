// Histograms of stalls: how often (logarithmic) something took so long; buckets are powers of two, one bar per variant.
(() => {
  const svgElement = (parent, tag, attributes, text) => {
    const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
    if (text !== undefined) e.textContent = text;
    parent.append(e);
    return e;
  };

  const width = 460, height = 210, left = 46, right = 8, top = 10, bottom = 34;
  const axisY = height - bottom;
  const logOf = (count) => Math.log10(count) + 0.3;  // so that a single one shows

  const edgeText = (power) => timeText(power === 0 ? 0 : Number((2 ** (power - 1) * 1e-9).toPrecision(3)));

  function drawAxes(svg, first, last, highest, step) {
    for (let power = 0; power <= Math.floor(Math.log10(highest)); ++power) {
      const y = axisY - (axisY - top) * logOf(10 ** power) / logOf(highest);
      svgElement(svg, 'line', {x1: left, x2: width - right, y1: y, y2: y, class: 'axis'});
      svgElement(svg, 'text', {x: left - 6, y: y + 4, 'text-anchor': 'end'}, power < 4 ? String(10 ** power) : '1e' + power);
    }
    svgElement(svg, 'line', {x1: left, x2: width - right, y1: axisY, y2: axisY, class: 'axis'});
    const every = Math.ceil((last - first + 1) / 5);
    for (let b = first; b <= last + 1; b += every)
      svgElement(svg, 'text', {x: Math.min(left + (b - first) * step, width - 24), y: axisY + 16, 'text-anchor': 'middle'},
                 edgeText(b));
  }

  function draw(figure, histogram) {
    const bars = histogram.bars.flatMap((bar) => bar.counts.map(([power, count]) => ({power, count, variant: bar.variant})));
    const powers = bars.map((b) => b.power), first = Math.min(...powers), last = Math.max(...powers);
    const highest = Math.max(...bars.map((b) => b.count), 1), step = (width - left - right) / (last - first + 1);
    const svg = svgElement(figure, 'svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': histogram.title});
    drawAxes(svg, first, last, highest, step);
    const present = histogram.bars.filter((bar) => bar.counts.length > 0).map((bar) => bar.variant);
    for (const {power, count, variant} of bars) {
      const thick = Math.min(36, step * 0.9 / present.length), tall = (axisY - top) * logOf(count) / logOf(highest);
      const start = left + (power - first + 0.5) * step - thick * present.length / 2;
      const bar = svgElement(svg, 'rect', {
        x: start + present.indexOf(variant) * thick, y: axisY - tall,
        width: Math.max(1, thick - 0.5), height: tall, class: 'bar', style: `fill: var(--v${variant % 7})`});
      svgElement(bar, 'title', {}, `${data.variants[variant].name}: ${count} of ` +
          `${edgeText(power)} to ${edgeText(power + 1)}`);
    }
    const legend = element(figure, 'p', 'legend');
    for (const variant of present) {
      const item = element(legend, 'span');
      element(item, 'i', 'swatch').style.background = `var(--v${variant % 7})`;
      item.append(data.variants[variant].name);
    }
  }

  for (const histogram of data.histograms) {
    const figure = element(document.getElementById('histograms'), 'figure', 'histogram');
    figure.dataset.key = histogram.key;
    const title = element(figure, 'h3', '', histogram.title + ' ');
    element(title, 'span', 'unit', 'how often, by length');
    if (histogram.bars.some((bar) => bar.counts.length > 0)) draw(figure, histogram);
    else element(figure, 'p', 'tip', 'none in any variant');
  }
})();

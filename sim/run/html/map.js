// The map of the address space: time to the right, addresses downward. A row is a text such as "a12b3": 12 columns in state
// a, then 3 in state b; "." is nothing.
(() => {
  const maps = document.getElementById('maps'), tip = document.getElementById('map-tip');
  const stateOf = Object.fromEntries(data.states.map((s) => [s.code, s]));

  let refusals = 0;
  for (const state of data.states) {
    state.colourName = state.colour || 'r' + (refusals++ % 7);
    const item = element(document.getElementById('map-legend'), 'span');
    element(item, 'i', 'swatch').style.background = `var(--${state.colourName})`;
    item.append(state.label);
  }

  function runs(row) {
    let at = 0;
    return [...row.matchAll(/(\D)(\d+)/g)].map(([, code, n]) => {
      const run = {code, from: at, to: at + Number(n)};
      at = run.to;
      return run;
    });
  }

  function layout(map) {
    const width = map.canvas.clientWidth, gutter = width > 600 ? 130 : 0, below = 20;
    const rowHeight = Math.min(14, Math.max(1.5, 300 / map.rows.length));
    return {width, gutter, below, rowHeight, height: Math.ceil(map.rows.length * rowHeight) + below};
  }

  function drawRows(g, map, box, x) {
    map.rows.forEach((row, i) => {
      const top = Math.round(i * box.rowHeight), bottom = Math.max(top + 1, Math.round((i + 1) * box.rowHeight));
      for (const run of row.runs) {
        if (run.code === '.') continue;
        const left = Math.max(box.gutter, x(run.from)), right = Math.min(box.width, x(run.to));
        if (right <= left) continue;
        g.fillStyle = colour(stateOf[run.code].colourName);
        g.fillRect(left, top, Math.max(1, right - left), bottom - top);
      }
    });
  }

  function drawLabels(g, map, box) {
    g.fillStyle = colour('ink');
    g.font = '12px system-ui, sans-serif';
    let free = -1;
    if (box.gutter) map.rows.forEach((row, i) => {
      const y = Math.max(10, i * box.rowHeight + 10);
      if (y < free || y > box.height - box.below) return;
      g.fillText(row.base, 0, y);
      free = y + 28;
    });
    const count = box.width > 600 ? 6 : 3;
    for (let i = 0; i <= count; ++i) {
      const text = timeText(view.from + (view.to - view.from) * i / count, view.to - view.from);
      const at = box.gutter + (box.width - box.gutter) * i / count, wide = g.measureText(text).width;
      g.fillText(text, Math.min(box.width - wide, Math.max(box.gutter, at - wide / 2)), box.height - 5);
    }
  }

  function draw(map) {
    const box = layout(map), ratio = devicePixelRatio || 1;
    map.canvas.style.height = box.height + 'px';
    map.canvas.width = box.width * ratio, map.canvas.height = box.height * ratio;
    const g = map.canvas.getContext('2d');
    g.scale(ratio, ratio);
    const column = data.end / data.columns;
    const x = (c) => box.gutter + (c * column - view.from) / (view.to - view.from) * (box.width - box.gutter);
    drawRows(g, map, box, x);
    drawLabels(g, map, box);
  }

  function tell(map, event) {
    const box = layout(map), row = map.rows[Math.floor(event.offsetY / box.rowHeight)];
    if (!row || event.offsetX < box.gutter) return;
    const time = view.from + (event.offsetX - box.gutter) / (box.width - box.gutter) * (view.to - view.from);
    const run = row.runs.find((r) => time / data.end * data.columns < r.to);
    const state = run && run.code !== '.' ? stateOf[run.code].label : 'not used';
    tip.textContent = `${map.name}, ${timeText(time)}: ${row.base}` +
        (row.ranges > 1 ? ` and ${row.ranges - 1} more` : '') + `, ${row.where}: ${state}`;
  }

  const all = data.variants.filter((v) => v.map.length > 0).map((variant) => {
    const figure = element(maps, 'figure', 'map');
    element(figure, 'h3', '', variant.name);
    const canvas = element(figure, 'canvas', 'ranges');
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `which 2 MiB range was huge when, variant ${variant.name}`);
    const map = {name: variant.name, canvas, rows: variant.map.map((r) => ({...r, runs: runs(r.states)}))};
    for (const kind of ['pointermove', 'pointerdown']) canvas.addEventListener(kind, (event) => tell(map, event));
    return map;
  });
  if (all.length === 0) tip.textContent = 'Nothing was recorded about ranges.';
  const drawAll = () => all.forEach(draw);
  redraws.push(drawAll);
  view.listeners.push(drawAll);
  drawAll();
})();

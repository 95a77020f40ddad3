// Curves over simulated time: one plot each, one line per variant; zoom and cursor are shared.
(() => {
  const plots = [];

  // Where points are not drawn anyhow: those without a neighbour, which no line would show.
  function alone(u, seriesIndex, show) {
    if (show) return null;
    const values = u.data[seriesIndex].map((v, i) => [v, i]).filter(([v]) => v !== undefined);
    const found = values.filter(([v], i) => v !== null && (values[i - 1] || [null])[0] === null && (values[i + 1] || [null])[0] === null);
    return found.length > 0 ? found.map(([, index]) => index) : null;
  }

  function series(i) {
    return {
      label: data.variants[i].name, stroke: variantColour(i), width: 2, dash: variantDash(i), spanGaps: false,
      points: {size: 5, filter: alone},
      value: (u, v) => (v === null || v === undefined ? '-' : fourDigits(v)),
    };
  }

  function axis(more) {
    return {stroke: colour('ink'), grid: {stroke: colour('line'), width: 1}, ticks: {stroke: colour('line'), width: 1},
            font: '12px system-ui, sans-serif', ...more};
  }

  function options(curve, width) {
    const highest = curve.unit.startsWith('% of anonymous') ? 100 : undefined;
    return {
      width, height: 210,
      scales: {
        x: {time: false, range: () => [view.from, view.to]},
        y: {range: (u, low, high) => [0, highest || (high > 0 ? high * 1.08 : 1)]},
      },
      axes: [axis({values: (u, ticks) => ticks.map((t) => timeText(t, view.to - view.from))}),
             axis({size: 62, values: (u, ticks) => ticks.map(fourDigits)})],
      series: [{label: 'time', value: (u, v) => (v === null || v === undefined ? '-' : timeText(v))},
               ...data.variants.map((v, i) => series(i))],
      cursor: {sync: {key: 'time'}, drag: {x: true, y: false, setScale: false}},
      legend: {markers: {width: 3}},
      hooks: {setSelect: [(u) => {
        if (u.select.width < 4) return;
        view.show(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'));
        u.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
      }]},
    };
  }

  function tableOf(curve) { return uPlot.join(data.variants.map((v) => [v.time, v.curves[curve.key]])); }

  function draw(plot) {
    if (plot.u) plot.u.destroy();
    plot.u = new uPlot(options(plot.curve, Math.max(260, plot.holder.clientWidth)), plot.table, plot.holder);
    plot.u.over.addEventListener('dblclick', () => view.show(0, data.end));
  }

  for (const curve of data.curves) {
    const figure = element(document.getElementById('plots'), 'figure', 'plot');
    figure.dataset.key = curve.key;
    const title = element(figure, 'h3', '', curve.title + ' ');
    element(title, 'span', 'unit', curve.unit);
    figure.title = curve.help;
    const plot = {curve, holder: element(figure, 'div'), table: tableOf(curve)};
    plots.push(plot);
  }
  const drawAll = () => plots.forEach(draw);
  redraws.push(drawAll);
  view.listeners.push((from, to) => plots.forEach((p) => p.u.setScale('x', {min: from, max: to})));
  drawAll();
})();

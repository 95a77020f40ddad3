#!/usr/bin/env python3
"""Opens report.html in headless Chromium and checks that it works: no error, no console message, every plot drawn.

What is drawn is read back from the canvases, not believed: each plot over time must show the colour of a line, and each
variant's colour must be seen in some plot; each map must show the colours of its states; each histogram its bars. On a
phone-wide window nothing may stick out. Then the page is broken in several ways, and each must be found.

Usage: check_page.py PROGRAM CONFIG...
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

# In front of everything else: keeps what goes wrong, content-security violations included.
WATCH = """<script>
const problems = [];
addEventListener('error', (e) => problems.push('error: ' + e.message));
addEventListener('unhandledrejection', (e) => problems.push('rejected: ' + e.reason));
addEventListener('securitypolicyviolation', (e) => problems.push('blocked: ' + e.blockedURI));
</script>"""

# Behind everything else: looks at what was drawn, and tells the page around it.
PROBE = """<script>
function probe() {
  const rgb = (text) => { const e = document.createElement('i'); e.style.color = text; document.body.append(e);
                          const c = getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).map(Number); e.remove(); return c; };
  const pixels = (canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const count = (image, [r, g, b]) => {
    let n = 0;
    for (let i = 0; i < image.length; i += 4)
      n += image[i + 3] > 128 && Math.abs(image[i] - r) + Math.abs(image[i + 1] - g) + Math.abs(image[i + 2] - b) < 60;
    return n;
  };
  const seen = {problems, plots: {}, maps: [], histograms: {}};
  for (const figure of document.querySelectorAll('.plot')) {
    const canvas = figure.querySelector('canvas');
    if (!canvas) continue;
    const image = pixels(canvas);
    seen.plots[figure.dataset.key] = data.variants.map((v, i) => count(image, rgb(variantColour(i))));
  }
  for (const canvas of document.querySelectorAll('canvas.ranges')) {
    const image = pixels(canvas);
    seen.maps.push(data.states.map((s) => count(image, rgb(colour(s.colourName)))));
  }
  for (const figure of document.querySelectorAll('.histogram'))
    seen.histograms[figure.dataset.key] =
        [...figure.querySelectorAll('rect.bar')].filter((r) => r.getBoundingClientRect().height > 0).length;
  seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  seen.width = innerWidth;
  return seen;
}
setTimeout(() => {
  let result;
  try { result = probe(); } catch (e) { result = {problems: [...problems, 'probe: ' + e]}; }
  parent.postMessage(JSON.stringify(result), '*');
}, 500);
</script>"""

# A window is never narrower than 500 px, a frame may be.
FRAME = """<!doctype html><link rel="icon" href="data:,"><body>
<iframe src="page.html" width="%d" height="900" style="border: 0"></iframe>
<script>addEventListener('message', (e) => {
  const pre = document.createElement('pre');
  pre.id = 'probe', pre.textContent = e.data;
  document.body.append(pre);
});</script></body>"""

# What is done to the page -> what must be found then.
BREAKS = {
    "an exception in the plots": ("uPlot.join(", "uPlot.disjoin("),
    "curves without a line": ("stroke: variantColour(i)", "stroke: 'transparent'"),
    "a map without ranges": ("g.fillRect(left", "void (left"),
    "histograms without bars": ("svgElement(svg, 'rect'", "svgElement(svg, 'metadata'"),
    "a console message": ("'use strict';", "'use strict'; console.error('noticed');"),
}


def browser():
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


def look_at(page, width, folder):
    """What the probe saw and what the browser's console said."""
    (folder / "page.html").write_text(page.replace("<head>", "<head>" + WATCH, 1) + PROBE, encoding="utf-8")
    file = folder / "frame.html"
    file.write_text(FRAME % width, encoding="utf-8")
    done = subprocess.run(
        [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
         "--no-first-run", "--disable-background-networking", "--enable-logging=stderr", "--v=0",
         f"--user-data-dir={folder / 'profile'}", "--window-size=1300,1000", "--virtual-time-budget=5000",
         "--dump-dom", file.as_uri()],
        capture_output=True, text=True, errors="replace", timeout=240, check=False)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    if not found:
        sys.exit(f"{browser()} left with {done.returncode} and showed no page:\n{done.stderr[-3000:]}")
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    seen = json.loads(text)
    seen["console"] = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return seen


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def objections(page, seen):
    """Everything that is not as it must be."""
    data, found = data_of(page), []
    found += [f"problem: {text}" for text in seen["problems"]]
    found += [f"console: {text}" for text in seen["console"]]
    if "plots" not in seen:
        return found
    variants = data["variants"]
    drawn = [0] * len(variants)
    for curve in data["curves"]:
        counts = seen["plots"].get(curve["key"], [])
        has_data = any(v is not None for variant in variants for v in variant["curves"][curve["key"]])
        if has_data and sum(counts) < 10:  # a single point is a ring of some 25 pixels
            found.append(f"plot {curve['key']} shows no line: {counts}")
        drawn = [a + b for a, b in zip(drawn, counts)]
    found += [f"variant {v['name']} is in no plot" for v, n in zip(variants, drawn) if n < 100]
    maps = [variant for variant in variants if variant["map"]]
    if len(seen["maps"]) != len(maps):
        found.append(f"{len(seen['maps'])} maps instead of {len(maps)}")
    for variant, counts in zip(maps, seen["maps"]):
        for state, count in zip(data["states"], counts):
            cells = sum(int(n) for row in variant["map"] for n in re.findall(re.escape(state["code"]) + r"(\d+)", row["states"]))
            if cells > 20 and count < 20:
                found.append(f"the map of {variant['name']} does not show: {state['label']}")
    for histogram in data["histograms"]:
        bars = sum(len(bar["counts"]) for bar in histogram["bars"])
        if seen["histograms"].get(histogram["key"]) != bars:
            found.append(f"histogram {histogram['key']}: {seen['histograms'].get(histogram['key'])} bars instead of {bars}")
    if seen["overflow"] > 0:
        found.append(f"the page is {seen['overflow']} px wider than its window of {seen['width']} px")
    return found


def report_of(program, config, folder):
    subprocess.run([program, "run", config, "--quiet", "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return (folder / "report.html").read_text(encoding="utf-8")


def check(page, folder, name):
    for width in (1200, 380):
        found = objections(page, look_at(page, width, folder))
        if found:
            sys.exit(f"{name}, {width} px wide:\n" + "\n".join(found))
    print(f"{name}: drawn without complaint")


def check_the_check(page, folder):
    for name, (before, after) in BREAKS.items():
        broken = page.replace(before, after, 1)
        if broken == page:
            sys.exit(f"the page has no {before!r} to be broken")
        found = objections(page, look_at(broken, 1200, folder))
        if not found:
            sys.exit(f"not noticed: {name}")
        print(f"noticed: {name}: {found[0][:150]}")


def main():
    if not browser():
        sys.exit("no Chromium here; as root: apt-get install chromium")
    program, configs = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="collapsar-page-") as scratch:
        folder = pathlib.Path(scratch)
        pages = {config: report_of(program, config, folder / str(i)) for i, config in enumerate(configs)}
        for config, page in pages.items():
            check(page, folder, config)
        check_the_check(next(iter(pages.values())), folder)


if __name__ == "__main__":
    main()

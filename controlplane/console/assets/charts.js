// Draws the traffic of a page with uPlot, and again each quarter of a minute, in the colours of the page.
(() => {
	const every = 15000;
	const tones = ["accent", "warn", "bad", "muted"];
	const tone = { failed: "bad", "2xx": "good", "3xx": "muted", "4xx": "warn", "5xx": "bad", p99: "warn", out: "warn" };

	// Times as the browser's language writes them, with 24 hours.
	const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hour12: false });
	const day = new Intl.DateTimeFormat([], { month: "short", day: "numeric" });
	const moment = new Intl.DateTimeFormat([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });

	const faint = (value) => value.replace(/^rgb\((.*)\)$/, "rgba($1, .12)");

	const colour = (at, name) => {
		const probe = at.appendChild(document.createElement("i"));
		probe.className = "tone-" + name;
		const value = getComputedStyle(probe).color;
		probe.remove();
		return value;
	};

	const short = (value, unit) => {
		if (value == null) return "–";
		if (unit !== "B") return (value < 10 ? +value.toFixed(2) : Math.round(value)) + (unit ? " " + unit : "");
		let step = 0;
		while (value >= 1000 && step < 4) { value /= 1000; step++; }
		return +value.toFixed(1) + " " + ["B", "kB", "MB", "GB", "TB"][step];
	};

	const draw = (at, data) => {
		const unit = at.dataset.unit;
		const line = colour(at, "line"), text = colour(at, "muted"), font = "12px system-ui, sans-serif";
		const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
		const names = at.dataset.series.split(",").map((s) => s.split("="));
		const values = [data.at, ...names.map(([key]) => data[key])];
		if (at.plot) { at.plot.setData(values); return; }
		at.plot = new uPlot({
			width: at.clientWidth, height: 180, cursor: { drag: { x: false, y: false } },
			scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
			axes: [{ ...axis, values: (_, list, __, ___, step) => list.map((v) => (step >= 86400 ? day : clock).format(v * 1000)) }, { ...axis, size: 64, values: (_, list) => list.map((v) => short(v, unit)) }],
			series: [{ label: "at", value: (_, v) => (v == null ? "–" : moment.format(v * 1000)) }, ...names.map(([key, label], i) => ({
				label, stroke: colour(at, tone[key] || tones[i]), width: 2, fill: names.length === 1 ? faint(colour(at, tone[key] || tones[i])) : undefined, points: { show: false }, value: (_, v) => short(v, unit),
			}))],
		}, values, at);
	};

	const look = async (card) => {
		if (document.hidden) return;
		const resp = await fetch(card.dataset.traffic, { headers: { Accept: "application/json" } });
		if (!resp.ok) return;
		const data = await resp.json();
		card.querySelectorAll(".chart").forEach((at) => draw(at, data));
		card.dataset.drawn = data.requests;
	};

	document.querySelectorAll("[data-traffic]").forEach((card) => {
		const again = () => look(card).catch(() => {}); // the page says itself when it is not live
		again();
		setInterval(again, every);
	});
	const fit = new ResizeObserver((entries) => entries.forEach(({ target }) => {
		if (target.plot && target.clientWidth) target.plot.setSize({ width: target.clientWidth, height: 180 });
	}));
	document.querySelectorAll(".chart").forEach((at) => fit.observe(at));
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.querySelectorAll(".chart").forEach((at) => {
		if (at.plot) { at.plot.destroy(); at.plot = null; }
	}));
})();

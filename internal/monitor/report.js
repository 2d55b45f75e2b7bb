"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const by = id => document.getElementById(id);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const add = (parent, tag, text, kind) => {
	const e = document.createElement(tag);
	if (text !== undefined) e.textContent = text;
	if (kind) e.className = kind;
	parent.append(e);
	return e;
};

const seconds = s => s === 0 ? "0 s" : s < 1 ? (s * 1000).toFixed(0) + " ms" : s < 100 ? s.toFixed(1) + " s" : s < 7200 ? Math.floor(s / 60) + " min " + Math.round(s % 60) + " s" : (s / 3600).toFixed(1) + " h";
const memory = kib => !kib ? "" : kib < 1024 ? kib + " KiB" : kib < 1048576 ? (kib / 1024).toFixed(0) + " MiB" : (kib / 1048576).toFixed(1) + " GiB";
const commands = data.commands, nodes = data.nodes, placed = commands.filter(c => !c.k);
const inChain = new Set(data.chain || []);

// Head.
document.title = data.command + ", " + data.began.slice(0, 10);
by("title").textContent = data.command;
by("where").textContent = data.dir + ", " + data.began.replace("T", " ");
const tile = (value, what, bad) => {
	const t = add(by("tiles"), "div", undefined, bad ? "tile bad" : "tile");
	add(t, "b", value);
	add(t, "span", what, "dim");
};
tile(seconds(data.elapsed), "elapsed");
tile(placed.length, "commands placed");
tile(commands.length - placed.length, "kept here");
tile(seconds(data.cpu), "of CPU time");
tile(data.cpu ? Math.round(100 * data.there / data.cpu) + " %" : "–", "of it on other nodes");
tile(data.elapsed ? (data.cpu / data.elapsed).toFixed(1) : "–", "CPUs at a time");
if (data.failed) tile(data.failed, "failed", true);
for (const line of data.summary) add(by("summary"), "li", line);

// Colours: the programs that ran longest have one of their own.
const palette = ["#3b82c4", "#e0912f", "#2a9d7c", "#b86fa8", "#6bb3d9", "#9a9440", "#7a6bd0"];
const times = data.programs.map((name, i) => ({ name, i, took: 0 }));
for (const c of commands) times[c.p].took += c.e - c.s;
const ranked = times.slice().sort((a, b) => b.took - a.took);
const colorOf = new Map(ranked.slice(0, palette.length).map((p, rank) => [p.i, palette[rank]]));
const legend = () => {
	by("legend").replaceChildren();
	const entry = (color, text) => {
		const e = add(by("legend"), "span");
		add(e, "i").style.background = color;
		e.append(text);
	};
	for (const p of ranked.slice(0, palette.length)) entry(colorOf.get(p.i), p.name + " " + seconds(p.took));
	if (ranked.length > palette.length) entry(css("--other"), "others");
	if (commands.some(c => c.x)) entry(css("--fail"), "failed or lost");
};

// Canvases are drawn in the pixels of the screen.
const prepare = (canvas, height) => {
	const ratio = window.devicePixelRatio || 1, width = canvas.parentElement.clientWidth;
	canvas.style.height = height + "px";
	canvas.width = Math.max(1, Math.floor(width * ratio));
	canvas.height = Math.max(1, Math.floor(height * ratio));
	const g = canvas.getContext("2d");
	g.setTransform(ratio, 0, 0, ratio, 0, 0);
	g.font = "11px system-ui, sans-serif";
	g.textBaseline = "middle";
	return { g, width, height };
};
const steps = (from, to, about) => {
	const rough = Math.max(1e-6, (to - from) / about), power = 10 ** Math.floor(Math.log10(rough));
	const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough), all = [];
	for (let t = Math.ceil(from / step) * step; t <= to + step * 1e-6; t += step) all.push(t);
	return all;
};

// The picture of all commands.
const left = 110, head = 20;
let view = [0, Math.max(data.elapsed, 1e-3)], drag = null;
const most = Math.max(1, nodes.reduce((n, node) => n + node.lanes, 0));
const lane = most <= 60 ? 12 : most <= 200 ? 7 : 4;
const tops = [];
let total = head;
for (const n of nodes) {
	tops.push(total);
	total += n.lanes ? n.lanes * lane + 8 : 0;
}
const rows = nodes.map(n => Array.from({ length: n.lanes }, () => []));
commands.forEach((c, i) => rows[c.n][c.l].push(i));
const gantt = () => {
	const { g, width, height } = prepare(by("gantt"), total + 4);
	const scale = (width - left - 8) / (view[1] - view[0]), x = t => left + (t - view[0]) * scale;
	const fg = css("--fg"), dim = css("--dim"), line = css("--line"), fail = css("--fail"), other = css("--other"), mark = css("--mark");
	g.textAlign = "center";
	for (const t of steps(view[0], view[1], width / 110)) {
		g.fillStyle = line;
		g.fillRect(x(t), head - 2, 1, height);
		g.fillStyle = dim;
		g.fillText(seconds(t), x(t), head / 2);
	}
	nodes.forEach((n, i) => {
		if (!n.lanes) return;
		g.fillStyle = line;
		g.fillRect(0, tops[i] - 4, width, 1);
		g.fillStyle = fg;
		g.textAlign = "left";
		g.fillText(n.name + (n.home ? " (here)" : ""), 6, tops[i] + lane / 2, left - 10);
	});
	g.save();
	g.beginPath();
	g.rect(left, 0, width - left, height);
	g.clip();
	nodes.forEach((n, i) => rows[i].forEach((list, l) => {
		const y = tops[i] + l * lane;
		for (const at of list) {
			const c = commands[at];
			if (c.e < view[0] || c.s > view[1]) continue;
			const from = x(c.s), w = Math.max(0.7, (c.e - c.s) * scale - (lane > 5 ? 0.5 : 0));
			g.globalAlpha = c.k ? 0.45 : 1;
			g.fillStyle = c.x ? fail : colorOf.get(c.p) || other;
			g.fillRect(from, y, w, lane - 1);
			g.globalAlpha = 1;
			if (inChain.has(at)) {
				g.strokeStyle = mark;
				g.lineWidth = 1.5;
				g.strokeRect(from + 0.5, y + 0.5, Math.max(1, w - 1), lane - 2);
			}
			if (lane >= 12 && w > 60) {
				g.fillStyle = "#fff";
				g.textAlign = "left";
				g.fillText(label(c, w - 6), from + 4, y + lane / 2);
			}
		}
	}));
	g.restore();
	if (drag && drag.to !== undefined) {
		g.fillStyle = "rgba(100,140,200,0.25)";
		g.fillRect(Math.min(drag.from, drag.to), 0, Math.abs(drag.to - drag.from), height);
	}
	by("shown").textContent = view[0] === 0 && view[1] >= data.elapsed ? "" : "Shown: " + seconds(view[0]) + " to " + seconds(view[1]) + ".";
};
const label = (c, width) => {
	const words = c.c.split(" "), text = data.programs[c.p] + (words.length > 1 ? " " + words[words.length - 1] : "");
	return text.length * 6 > width ? text.slice(0, Math.max(1, Math.floor(width / 6))) : text;
};
const timeAt = (canvas, px) => view[0] + (px - left) / (canvas.clientWidth - left - 8) * (view[1] - view[0]);
const commandAt = (px, py) => {
	const t = timeAt(by("gantt"), px), slack = 2 / (by("gantt").clientWidth - left) * (view[1] - view[0]);
	for (let i = 0; i < nodes.length; i++) {
		const l = Math.floor((py - tops[i]) / lane);
		if (l < 0 || l >= nodes[i].lanes) continue;
		const hits = rows[i][l].filter(at => commands[at].s - slack <= t && t <= commands[at].e + slack);
		if (hits.length) return commands[hits[hits.length - 1]];
	}
};
const describe = c => c.c + "\n\n" + nodes[c.n].name + (c.w ? ": " + c.w : "") + "\n" + seconds(c.s) + " to " + seconds(c.e) + ", took " + seconds(c.e - c.s) +
	(c.s - c.a > 0.005 ? ", waited " + seconds(c.s - c.a) : "") + (c.u ? "\n" + seconds(c.u) + " of CPU time" : "") + (c.m ? ", " + memory(c.m) + " at most" : "") +
	(c.x ? "\n" + c.x : "") + (c.r ? "\nstarted again " + c.r + " times" : "") + (c.k ? "\nkept on this node" : "") + (c.d ? "\nin " + c.d : "");
const tip = by("tip");
by("gantt").addEventListener("mousemove", e => {
	if (drag) {
		drag.to = e.offsetX;
		gantt();
	}
	const c = drag ? undefined : commandAt(e.offsetX, e.offsetY);
	tip.style.display = c ? "block" : "none";
	if (!c) return;
	tip.textContent = describe(c);
	tip.style.left = Math.max(4, Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
	tip.style.top = Math.max(4, Math.min(e.clientY + 14, innerHeight - tip.offsetHeight - 8)) + "px";
});
by("gantt").addEventListener("mouseleave", () => { tip.style.display = "none"; });
by("gantt").addEventListener("mousedown", e => { drag = { from: e.offsetX }; tip.style.display = "none"; });
window.addEventListener("mouseup", () => {
	if (!drag) return;
	const { from, to } = drag;
	drag = null;
	if (to !== undefined && Math.abs(to - from) > 4) {
		const ends = [timeAt(by("gantt"), Math.min(from, to)), timeAt(by("gantt"), Math.max(from, to))];
		view = [Math.max(0, ends[0]), Math.min(Math.max(data.elapsed, 1e-3), ends[1])];
	}
	gantt();
});
by("gantt").addEventListener("dblclick", () => { view = [0, Math.max(data.elapsed, 1e-3)]; gantt(); });

// Curves over time: the build in slices, and of each command its share in each.
const slices = 400, slice = Math.max(data.elapsed, 1e-3) / slices;
const spread = (list, value) => {
	const sum = new Float64Array(slices);
	for (const c of list) {
		const v = value(c), first = Math.max(0, Math.floor(c.s / slice)), last = Math.min(slices - 1, Math.floor(c.e / slice));
		for (let i = first; i <= last; i++) sum[i] += v * Math.max(0, Math.min(c.e, (i + 1) * slice) - Math.max(c.s, i * slice)) / slice;
	}
	return sum;
};
const chart = (id, curves, top, marks, text) => {
	const { g, width, height } = prepare(by(id), 200), l = 48, r = 8, b = 20, t = 26;
	const x = s => l + s / (slices * slice) * (width - l - r), y = v => height - b - v / top * (height - b - t);
	g.textAlign = "right";
	for (const v of steps(0, top, 4)) {
		g.fillStyle = css("--line");
		g.fillRect(l, y(v), width - l - r, 1);
		g.fillStyle = css("--dim");
		g.fillText(text(v), l - 5, y(v));
	}
	g.textAlign = "center";
	for (const s of steps(0, slices * slice, width / 110)) {
		g.fillStyle = css("--dim");
		g.fillText(seconds(s), Math.min(x(s), width - 20), height - b / 2);
	}
	const under = new Float64Array(slices);
	for (const { sum, color } of curves) {
		g.beginPath();
		for (let i = 0; i < slices; i++) g.lineTo(x((i + 0.5) * slice), y(under[i] + sum[i]));
		for (let i = slices - 1; i >= 0; i--) g.lineTo(x((i + 0.5) * slice), y(under[i]));
		g.fillStyle = color;
		g.globalAlpha = 0.85;
		g.fill();
		g.globalAlpha = 1;
		for (let i = 0; i < slices; i++) under[i] += sum[i];
	}
	for (const { points, color, high } of marks) {
		g.beginPath();
		points.forEach(([s, v], i) => {
			if (i > 0) g.lineTo(x(s), y(points[i - 1][1] / high * top));
			g.lineTo(x(s), y(v / high * top));
		});
		g.strokeStyle = color;
		g.lineWidth = 1.5;
		g.stroke();
	}
};
const highest = sums => Math.max(1, ...Array.from({ length: slices }, (_, i) => sums.reduce((n, s) => n + s[i], 0)));
const runningSums = nodes.map((_, i) => spread(commands.filter(c => c.n === i), () => 1));
const cpuSum = spread(commands.filter(c => c.u), c => c.e > c.s ? Math.min(c.u / (c.e - c.s), 1024) : 0);
const memorySum = spread(commands.filter(c => c.m), c => c.m);
const charts = () => {
	const rooms = data.rooms.concat(data.rooms.length ? [[data.elapsed, data.rooms[data.rooms.length - 1][1]]] : []);
	const top = Math.max(highest(runningSums), ...rooms.map(r => r[1])) * 1.05;
	chart("running", runningSums.map((sum, i) => ({ sum, color: palette[i % palette.length] })), top, [{ points: rooms, color: css("--mark"), high: top }], v => String(Math.round(v * 10) / 10));
	const mem = Math.max(1, ...memorySum) * 1.05, cpus = highest([cpuSum]) * 1.05;
	chart("usage", [{ sum: cpuSum, color: palette[0] }], cpus, [{ points: Array.from(memorySum, (v, i) => [(i + 0.5) * slice, v]), color: palette[1], high: mem }], v => String(Math.round(v * 10) / 10));
	const g = by("usage").getContext("2d");
	g.textAlign = "left";
	g.fillStyle = palette[0];
	g.fillText("■ CPUs", 48, 13);
	g.fillStyle = palette[1];
	g.fillText("■ memory, at most " + memory(Math.round(Math.max(...memorySum))), 110, 13);
	const names = by("running").getContext("2d");
	names.textAlign = "left";
	let at = 48;
	for (const [i, n] of nodes.entries()) {
		const text = "■ " + n.name, wide = names.measureText(text).width + 12;
		if (at + wide > by("running").clientWidth) break;
		names.fillStyle = palette[i % palette.length];
		names.fillText(text, at, 13);
		at += wide;
	}
};

// Tables.
const cell = (row, text, number, bad) => add(row, "td", text, [number ? "number" : "", bad ? "bad" : ""].join(" ").trim());
const table = (id, heads, rowsOf) => {
	const row = add(add(by(id), "thead"), "tr");
	for (const [text, number] of heads) add(row, "th", text, number ? "number" : "");
	const body = add(by(id), "tbody");
	rowsOf(() => add(body, "tr"));
};
table("nodes", [["node"], ["slots", 1], ["commands", 1], ["CPU time", 1], ["used of its slots", 1]], row => nodes.forEach((n, i) => {
	const r = row(), busy = runningSums[i].reduce((a, b) => a + b, 0) * slice;
	cell(r, n.name + (n.home ? " (here)" : ""));
	cell(r, n.slots || "", true);
	cell(r, n.n, true);
	cell(r, seconds(n.cpu), true);
	cell(r, n.slots && data.elapsed ? Math.round(100 * busy / data.elapsed / n.slots) + " %" : "", true);
}));
table("chain", [["after", 1], ["asked late by", 1], ["waited", 1], ["took", 1], ["node"], ["command"]], row => {
	let before = 0;
	const list = data.chain || [], shown = list.length > 25 ? list.slice().sort((a, b) => commands[b].e - commands[b].s - commands[a].e + commands[a].s).slice(0, 25) : list;
	const kept = new Set(shown);
	for (const i of list) {
		const c = commands[i], gap = c.a - before;
		before = c.e;
		if (!kept.has(i)) continue;
		const r = row();
		cell(r, seconds(c.s), true);
		cell(r, gap > 0.001 ? seconds(gap) : "", true);
		cell(r, c.s - c.a > 0.001 ? seconds(c.s - c.a) : "", true);
		cell(r, seconds(c.e - c.s), true);
		cell(r, nodes[c.n].name);
		add(r, "td", c.c, "text");
	}
	if (list.length > shown.length) add(row(), "td", "and " + (list.length - shown.length) + " shorter ones").colSpan = 6;
});
by("stays-section").hidden = !data.stays.length;
table("stays", [["program"], ["why"], ["times", 1], ["took", 1], ["CPU time", 1]], row => data.stays.forEach(s => {
	const r = row();
	cell(r, s.program);
	cell(r, s.why);
	cell(r, s.n, true);
	cell(r, seconds(s.took), true);
	cell(r, seconds(s.cpu), true);
}));
by("trouble-section").hidden = !data.trouble.length;
table("trouble", [["times", 1], ["what"]], row => data.trouble.forEach(t => {
	const r = row();
	cell(r, t.n, true);
	cell(r, t.what);
}));

const columns = [
	["started", c => c.s, c => seconds(c.s), true], ["took", c => c.e - c.s, c => seconds(c.e - c.s), true], ["waited", c => c.s - c.a, c => c.s - c.a > 0.001 ? seconds(c.s - c.a) : "", true],
	["CPU time", c => c.u || 0, c => c.u ? seconds(c.u) : "", true], ["memory", c => c.m || 0, c => memory(c.m), true],
	["node", c => nodes[c.n].name, c => nodes[c.n].name + (c.k ? ", kept" : "")], ["end", c => c.x || "", c => c.x || ""], ["command", c => c.c, c => c.c],
];
let sorted = 1, down = true, limit = 200;
const headRow = add(add(by("commands"), "thead"), "tr"), body = add(by("commands"), "tbody");
const list = () => {
	const words = by("filter").value.toLowerCase().split(/\s+/).filter(w => w), key = columns[sorted][1];
	const found = commands.filter(c => {
		const text = (c.c + " " + nodes[c.n].name + " " + (c.x || "") + " " + (c.d || "") + (c.k ? " kept" : "")).toLowerCase();
		return words.every(w => text.includes(w));
	}).sort((a, b) => { const x = key(a), y = key(b), n = x < y ? -1 : x > y ? 1 : 0; return down ? -n : n; });
	body.replaceChildren();
	for (const c of found.slice(0, limit)) {
		const r = add(body, "tr");
		for (const [name, , text, number] of columns) {
			const d = cell(r, text(c), number, name === "end");
			if (name === "command") {
				d.className = "text";
				d.title = (c.d ? "in " + c.d + "\n" : "") + (c.w || "");
			}
		}
	}
	by("found").textContent = found.length + " of " + commands.length;
	by("more").hidden = found.length <= limit;
	headRow.childNodes.forEach((th, i) => { th.textContent = columns[i][0] + (i === sorted ? (down ? " ↓" : " ↑") : ""); });
};
columns.forEach(([name, , , number], i) => {
	add(headRow, "th", name, number ? "sort number" : "sort").addEventListener("click", () => {
		down = i === sorted ? !down : Boolean(number);
		sorted = i;
		list();
	});
});
by("filter").addEventListener("input", () => { limit = 200; list(); });
by("more").addEventListener("click", () => { limit *= 5; list(); });

const drawAll = () => { legend(); gantt(); charts(); };
list();
drawAll();
window.addEventListener("resize", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.body.dataset.drawn = commands.length;

// Drawing: what lies in the window, nothing else. All x are CSS pixels.

const LAYOUT = { left: 84, axis: 22, fault: 15, nodeMin: 58, nodeMax: 110, band: 15, client: 17, gap: 10 };
const STEPS_MAX = 300;
const FRAGMENT_PX = 0.6; // bands narrower than this are drawn as one

// Where each lane lies, for the present filters and vertical scroll.
function arrange(view, model, height) {
    const nodes = model.nodeIds.length - view.hidden.nodes.size,
        clients = model.clients.size - view.hidden.clients.size;
    const room = height - LAYOUT.axis - 4 - model.levels * LAYOUT.fault - LAYOUT.gap - clients * LAYOUT.client - 8;
    const node = Math.min(Math.max(room / Math.max(nodes, 1), LAYOUT.nodeMin), LAYOUT.nodeMax);
    const lanes = { nodes: new Map(), clients: new Map(), node };
    let y = LAYOUT.axis + 4 + model.levels * LAYOUT.fault - view.scroll;
    lanes.faultTop = LAYOUT.axis + 4 - view.scroll;
    for (const id of model.nodeIds)
        if (!view.hidden.nodes.has(id)) {
            lanes.nodes.set(id, y + node / 2);
            y += node;
        }
    lanes.nodesEnd = y;
    y += LAYOUT.gap;
    for (const name of model.clients.keys())
        if (!view.hidden.clients.has(name)) {
            lanes.clients.set(name, y + LAYOUT.client / 2);
            y += LAYOUT.client;
        }
    lanes.height = y + view.scroll + 8;
    return lanes;
}

function scaleOf(view, width) {
    const perUs = (width - LAYOUT.left) / (view.to - view.from);
    return { x: (t) => LAYOUT.left + (t - view.from) * perUs, t: (x) => view.from + (x - LAYOUT.left) / perUs, perUs };
}

function fitCanvas(canvas) {
    const ratio = window.devicePixelRatio || 1,
        width = canvas.clientWidth,
        height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    pen.textBaseline = "middle";
    return { pen, width, height };
}

function drawTimeline(canvas, model, view, colours) {
    const { pen, width, height } = fitCanvas(canvas);
    const lanes = arrange(view, model, height),
        scale = scaleOf(view, width);
    const frame = { pen, width, height, lanes, scale, model, view, colours, drawn: {} };
    pen.save();
    pen.beginPath();
    pen.rect(LAYOUT.left, 0, width - LAYOUT.left, height);
    pen.clip();
    drawGrid(frame);
    drawPartitions(frame);
    drawMessages(frame);
    drawBands(frame); // over the arrows: those that only pass by go under a band
    drawMarks(frame);
    drawClients(frame);
    drawFaultBars(frame);
    drawSharedViolations(frame);
    drawCursor(frame);
    pen.restore();
    drawLabels(frame);
    drawAxis(frame);
    return frame;
}

function tickStep(span, room) {
    const raw = span / Math.max(1, room),
        power = 10 ** Math.floor(Math.log10(raw));
    return Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= raw) * power);
}

function drawGrid({ pen, lanes, scale, view, colours, width, height }) {
    pen.fillStyle = colours.lane;
    let odd = false;
    for (const y of lanes.nodes.values()) {
        if ((odd = !odd)) pen.fillRect(LAYOUT.left, y - lanes.node / 2, width, lanes.node);
    }
    const step = tickStep(view.to - view.from, (width - LAYOUT.left) / 110);
    pen.strokeStyle = colours.line;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
        const x = Math.round(scale.x(t)) + 0.5;
        pen.moveTo(x, LAYOUT.axis);
        pen.lineTo(x, height);
    }
    pen.stroke();
}

function drawAxis({ pen, scale, view, colours, width }) {
    pen.fillStyle = colours.panel;
    pen.fillRect(0, 0, width, LAYOUT.axis);
    pen.fillStyle = colours.line;
    pen.fillRect(0, LAYOUT.axis, width, 1);
    const step = tickStep(view.to - view.from, (width - LAYOUT.left) / 110);
    const digits = Math.max(0, 6 - Math.floor(Math.log10(step) + 1e-9));
    pen.fillStyle = colours.soft;
    pen.textAlign = "center";
    for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
        const x = scale.x(t);
        if (x > LAYOUT.left + 14 && x < width - 18) pen.fillText(`${(t / 1e6).toFixed(digits)} s`, x, LAYOUT.axis / 2);
    }
    const x = scale.x(view.cursor.t);
    if (x < LAYOUT.left || x > width) return;
    const text = `${seconds(view.cursor.t)} s`,
        half = pen.measureText(text).width / 2 + 5;
    const middle = Math.min(Math.max(x, LAYOUT.left + half), width - half);
    pen.fillStyle = colours.cursor;
    pen.fillRect(middle - half, 2, 2 * half, LAYOUT.axis - 4);
    pen.fillStyle = colours.back;
    pen.fillText(text, middle, LAYOUT.axis / 2);
}

// A node is shaded the darker the more of its links are cut.
function drawPartitions({ pen, lanes, scale, model, view, colours }) {
    model.faultBars.touching(view.from, view.to, (fault) => {
        for (const [node, share] of fault.share) {
            const y = lanes.nodes.get(node);
            if (y === undefined) continue;
            const x0 = scale.x(fault.t0),
                x1 = Math.max(scale.x(fault.t1), x0 + 1),
                top = y - lanes.node / 2;
            pen.fillStyle = `rgba(${colours.cut}, ${0.04 + 0.14 * Math.min(1, share)})`;
            pen.fillRect(x0, top, x1 - x0, lanes.node);
        }
    });
}

function drawBands(frame) {
    const { lanes, model, view } = frame;
    for (const [id, y] of lanes.nodes) {
        const node = model.nodes.get(id);
        const first = Math.max(
            0,
            upper(node.bands, view.from, (band) => band.t1),
        );
        let drawnTo = -Infinity;
        for (let i = first; i < node.bands.length && node.bands[i].t0 <= view.to; i++) {
            const band = node.bands[i],
                x0 = Math.max(frame.scale.x(band.t0), LAYOUT.left - 2),
                x1 = frame.scale.x(band.t1);
            if (x1 - drawnTo < FRAGMENT_PX) continue;
            drawBand(frame, band, x0, Math.min(x1, frame.width + 2), y);
            drawnTo = x1;
        }
        for (const pause of node.pauses) drawPause(frame, pause, y);
        drawSteps(frame, node, y);
    }
}

function drawBand({ pen, colours }, band, x0, x1, y) {
    const top = y - LAYOUT.band / 2,
        width = Math.max(x1 - x0, 1);
    if (!band.up) {
        pen.strokeStyle = colours.bad;
        pen.lineWidth = 1.5;
        pen.setLineDash([2, 4]);
        pen.beginPath();
        pen.moveTo(x0, y);
        pen.lineTo(x1, y);
        pen.stroke();
        pen.setLineDash([]);
        if (width > 46) label(pen, "down", x0 + 10, y, colours.back, colours.bad);
        return;
    }
    const leads = band.role === "leader",
        runs = band.role === "candidate" || band.role === "pre-candidate";
    pen.fillStyle = leads ? colours.term(band.term) : colours.tint(band.term);
    const height = leads ? LAYOUT.band : LAYOUT.band - 4;
    pen.fillRect(x0, y - height / 2, width, height);
    if (runs) {
        pen.save();
        pen.beginPath();
        pen.rect(x0, top, width, LAYOUT.band);
        pen.clip();
        pen.strokeStyle = colours.term(band.term);
        pen.lineWidth = band.role === "candidate" ? 3 : 1.2;
        pen.beginPath();
        for (let x = x0 - LAYOUT.band; x < x1; x += 7) {
            pen.moveTo(x, y + LAYOUT.band / 2);
            pen.lineTo(x + LAYOUT.band, y - LAYOUT.band / 2);
        }
        pen.stroke();
        pen.restore();
    }
    const text = leads ? `leader ${band.term}` : runs ? `${band.role} ${band.term}` : `${band.term}`;
    if (width > pen.measureText(text).width + 10) {
        pen.textAlign = "left";
        if (runs) label(pen, text, x0 + 5, y, colours.tint(band.term), colours["on-tint"]);
        else {
            pen.fillStyle = leads ? colours["on-term"] : colours["on-tint"];
            pen.fillText(text, Math.max(x0, LAYOUT.left) + 5, y + 0.5);
        }
    }
}

function label(pen, text, x, y, back, ink) {
    pen.textAlign = "left";
    const width = pen.measureText(text).width;
    pen.fillStyle = back;
    pen.fillRect(x - 2, y - 6, width + 4, 12);
    pen.fillStyle = ink;
    pen.fillText(text, x, y + 0.5);
}

function drawPause({ pen, scale, view, colours }, pause, y) {
    if (pause.t1 < view.from || pause.t0 > view.to) return;
    const x0 = scale.x(pause.t0),
        x1 = scale.x(pause.t1);
    pen.fillStyle = `rgba(${colours.shade}, 0.55)`;
    for (let x = Math.max(x0, LAYOUT.left - ((LAYOUT.left - x0) % 6)); x < Math.min(x1, 20000); x += 6)
        pen.fillRect(x, y - LAYOUT.band / 2, Math.min(3, x1 - x), LAYOUT.band);
    if (x1 - x0 > 60) label(pen, "paused", Math.max(x0, LAYOUT.left) + 6, y, colours.panel, colours.ink);
}

function drawSteps({ pen, scale, view, colours }, node, y) {
    const first = upper(node.steps, view.from - 1, (row) => row.t),
        end = upper(node.steps, view.to, (row) => row.t);
    if (end - first > STEPS_MAX) return;
    pen.fillStyle = colours.ink;
    for (let i = first; i < end; i++) pen.fillRect(Math.round(scale.x(node.steps[i].t)), y - LAYOUT.band / 2 - 3, 1, 3);
}

function drawMarks(frame) {
    const { pen, lanes, scale, model, view, colours } = frame;
    for (const [id, y] of lanes.nodes) {
        const marks = model.nodes.get(id).marks;
        for (let i = upper(marks, view.from - 1, (row) => row.t); i < marks.length && marks[i].t <= view.to; i++)
            mark(frame, marks[i], scale.x(marks[i].t), y);
    }
    model.faultBars.touching(view.from, view.to, (fault) => {
        for (const node of fault.row.nodes) {
            const y = lanes.nodes.get(node);
            if (y === undefined || fault.t0 < view.from) continue;
            const x = scale.x(fault.t0),
                top = y - LAYOUT.band / 2 - 14;
            pen.fillStyle = faultColour(colours, fault.row.what);
            pen.beginPath();
            pen.moveTo(x, top + 9);
            pen.lineTo(x - 5, top);
            pen.lineTo(x + 5, top);
            pen.fill();
        }
    });
}

// A violation that is no single node's crosses all lanes.
function drawSharedViolations({ pen, scale, model, view, colours, height }) {
    pen.font = "bold 11px system-ui, 'DejaVu Sans', sans-serif";
    for (const row of model.violations) {
        if (row.node || row.t < view.from || row.t > view.to) continue;
        const x = scale.x(row.t);
        pen.fillStyle = colours.bad;
        pen.globalAlpha = 0.25;
        pen.fillRect(x - 3, LAYOUT.axis, 6, height);
        pen.globalAlpha = 1;
        pen.textAlign = "right";
        pen.fillText(row.name, x - 7, height - 10);
    }
    pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
}

function mark({ pen, colours }, row, x, y) {
    const high = y - LAYOUT.band / 2 - 3,
        low = y + LAYOUT.band / 2 + 3;
    pen.lineWidth = 2;
    if (row.kind === "boot") {
        pen.fillStyle = colours.good;
        pen.beginPath();
        pen.moveTo(x, low);
        pen.lineTo(x - 4.5, low + 8);
        pen.lineTo(x + 4.5, low + 8);
        pen.fill();
    } else if (row.kind === "down") {
        pen.strokeStyle = colours.bad;
        pen.beginPath();
        pen.moveTo(x - 5, y - 5);
        pen.lineTo(x + 5, y + 5);
        pen.moveTo(x - 5, y + 5);
        pen.lineTo(x + 5, y - 5);
        pen.stroke();
    } else {
        pen.strokeStyle = colours.bad;
        pen.lineWidth = 2.5;
        pen.beginPath();
        pen.arc(x, y, LAYOUT.band / 2 + 5, 0, 7);
        pen.stroke();
        pen.fillStyle = colours.bad;
        pen.textAlign = "right";
        pen.font = "bold 11px system-ui, 'DejaVu Sans', sans-serif";
        pen.fillText(row.name, x - 10, high - 7);
        pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    }
}

function drawClients(frame) {
    const { pen, lanes, scale, model, view, colours, height } = frame;
    frame.drawn.operations = 0;
    for (const [name, y] of lanes.clients) {
        if (y < LAYOUT.axis || y > height + LAYOUT.client) continue;
        let drawnTo = -Infinity;
        model.clients.get(name).intervals.touching(view.from, view.to, (operation) => {
            const x0 = scale.x(operation.t0),
                x1 = Math.max(scale.x(operation.t1), x0 + 2);
            if (x1 - drawnTo < FRAGMENT_PX) return;
            drawnTo = x1;
            frame.drawn.operations++;
            drawOperation(frame, operation, Math.max(x0, LAYOUT.left - 4), x1, y);
        });
    }
}

function drawOperation({ pen, scale, view, colours, width }, operation, x0, x1, y) {
    const top = y - 5.5,
        chosen = view.chain.has(operation.row.id) || view.chosen === operation.complete?.id;
    pen.fillStyle = colours[operation.outcome] || colours.other;
    pen.globalAlpha = operation.outcome === "fail" ? 0.55 : 0.9;
    pen.fillRect(x0, top, x1 - x0, 11);
    pen.globalAlpha = 1;
    if (chosen) {
        pen.strokeStyle = colours.chosen;
        pen.lineWidth = 2;
        pen.strokeRect(x0, top, x1 - x0, 11);
    }
    const room = Math.min(x1, width) - Math.max(x0, LAYOUT.left),
        text = operationText(operation);
    if (room > 30 && pen.measureText(text).width < room - 8) {
        const strong = operation.outcome === "ok" || operation.outcome === "info";
        pen.fillStyle = strong ? colours.back : colours.ink;
        pen.textAlign = "left";
        pen.fillText(text, Math.max(x0, LAYOUT.left) + 4, y + 0.5);
    }
    if (operation.point === null) return;
    const x = scale.x(operation.point);
    if (x1 - x0 < 9) {
        // no room for a dot
        pen.fillStyle = colours.ink;
        pen.fillRect(x - 0.5, top, 1, 11);
    } else {
        pen.fillStyle = colours.ink;
        pen.strokeStyle = colours.back;
        pen.lineWidth = 1;
        pen.beginPath();
        pen.arc(x, y, 3.2, 0, 7);
        pen.fill();
        pen.stroke();
    }
}

function drawFaultBars({ pen, lanes, scale, model, view, colours, width }) {
    model.faultBars.touching(view.from, view.to, (fault) => {
        const x0 = Math.max(scale.x(fault.t0), LAYOUT.left - 2),
            x1 = Math.max(scale.x(fault.t1), x0 + 3),
            y = lanes.faultTop + fault.level * LAYOUT.fault;
        const colour = faultColour(colours, fault.row.what);
        pen.globalAlpha = 0.28;
        pen.fillStyle = colour;
        pen.fillRect(x0, y, x1 - x0, LAYOUT.fault - 3);
        pen.globalAlpha = 1;
        pen.fillRect(x0, y, 2.5, LAYOUT.fault - 3);
        const text = fault.row.text || fault.row.fault;
        pen.save();
        pen.beginPath();
        pen.rect(x0, y - 1, Math.max(Math.min(x1, width) - x0, 3), LAYOUT.fault);
        pen.clip();
        pen.fillStyle = colours.ink;
        pen.textAlign = "left";
        pen.fillText(text, x0 + 6, y + LAYOUT.fault / 2 - 1);
        pen.restore();
    });
}

function drawCursor({ pen, scale, view, colours, height }) {
    const x = Math.round(scale.x(view.cursor.t)) + 0.5;
    pen.strokeStyle = colours.cursor;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(x, LAYOUT.axis);
    pen.lineTo(x, height);
    pen.stroke();
}

function drawLabels({ pen, lanes, colours, height, model, view }) {
    pen.fillStyle = colours.back;
    pen.fillRect(0, 0, LAYOUT.left, height);
    pen.fillStyle = colours.line;
    pen.fillRect(LAYOUT.left - 1, 0, 1, height);
    pen.textAlign = "left";
    if (model.levels) {
        pen.fillStyle = colours.soft;
        pen.fillText("faults", 10, lanes.faultTop + LAYOUT.fault / 2 - 1);
    }
    for (const [id, y] of lanes.nodes) {
        const now = nodeAt(model, id, view.cursor.index);
        pen.fillStyle = colours.ink;
        pen.font = "bold 12px system-ui, 'DejaVu Sans', sans-serif";
        pen.fillText(`node ${id}`, 10, y - 4);
        pen.font = "10px system-ui, 'DejaVu Sans', sans-serif";
        pen.fillStyle = now.up ? colours.soft : colours.bad;
        pen.fillText(now.up ? (now.paused ? "paused" : now.state.role) : "down", 10, y + 9);
        pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    }
    pen.fillStyle = colours.soft;
    for (const [name, y] of lanes.clients) pen.fillText(name.length > 9 ? `${name.slice(0, 8)}…` : name, 10, y + 0.5);
}

function drawOverview(canvas, model, view, colours) {
    const { pen, width, height } = fitCanvas(canvas);
    const x = (t) => LAYOUT.left + (t / model.end) * (width - LAYOUT.left),
        row = (height - 8) / model.nodeIds.length;
    pen.fillStyle = colours.panel;
    pen.fillRect(0, 0, width, height);
    model.nodeIds.forEach((id, place) => {
        let drawnTo = -Infinity;
        for (const band of model.nodes.get(id).bands) {
            if (x(band.t1) - drawnTo < FRAGMENT_PX) continue;
            drawnTo = x(band.t1);
            pen.fillStyle = !band.up
                ? colours.bad
                : band.role === "leader"
                  ? colours.term(band.term)
                  : colours.tint(band.term);
            const thin = band.up ? 0 : row / 3;
            pen.fillRect(x(band.t0), 4 + place * row + thin, Math.max(x(band.t1) - x(band.t0), 1), row - 1 - 2 * thin);
        }
    });
    pen.fillStyle = colours.accent;
    for (const index of view.matches) pen.fillRect(x(model.rows[index].t), 0, 1.5, 5);
    pen.fillStyle = colours.bad;
    for (const violation of model.violations) pen.fillRect(x(violation.t) - 1.5, 0, 3, height);
    pen.fillStyle = `rgba(${colours.shade}, 0.25)`;
    pen.fillRect(LAYOUT.left, 0, x(view.from) - LAYOUT.left, height);
    pen.fillRect(x(view.to), 0, width, height);
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 1.5;
    pen.strokeRect(x(view.from), 0.75, Math.max(x(view.to) - x(view.from), 3), height - 1.5);
    pen.fillStyle = colours.soft;
    pen.textAlign = "left";
    pen.fillText("whole run", 10, height / 2);
}

// Drawing: frames on their way.

const ARROWS_MAX = 2500; // more are a grey wall and slow; then the most frequent kinds are left out
const ARROWS_BOLD_MAX = 900; // above, they are thin, without heads

// What the filters let through, within the window; the most frequent kinds are left out when it is too much.
function visibleMessages({ model, view, lanes }) {
    const byKind = new Map();
    model.messages.touching(view.from, view.to, (message) => {
        if (view.hidden.kinds.has(message.kind) || !lanes.nodes.has(message.source) || !lanes.nodes.has(message.target))
            return;
        if (!byKind.has(message.kind)) byKind.set(message.kind, []);
        byKind.get(message.kind).push(message);
    });
    const groups = [...byKind].sort((a, b) => a[1].length - b[1].length);
    const shown = [],
        left = [];
    let count = 0;
    for (const [kind, messages] of groups) {
        count += messages.length;
        if (count <= ARROWS_MAX) shown.push([kind, messages]);
        else left.push([kind, messages]);
    }
    return { shown, left };
}

function drawMessages(frame) {
    const { pen, lanes, scale, view, colours } = frame;
    const { shown, left } = visibleMessages(frame);
    frame.arrows = shown.flatMap(([, messages]) => messages);
    frame.drawn.messages = frame.arrows.length;
    frame.left = left.map(([kind, messages]) => `${messages.length} ${kind}`);
    for (const [, messages] of left) drawDensity(frame, messages);
    const dim = view.chain.size > 1 && frame.arrows.length > 60;
    for (const [kind, messages] of shown) {
        const colour = messageColour(colours, kind);
        pen.strokeStyle = pen.fillStyle = colour;
        pen.lineWidth = 1;
        pen.globalAlpha = (dim ? 0.45 : 0.85) * (frame.arrows.length > ARROWS_BOLD_MAX ? 0.6 : 1);
        pen.beginPath();
        for (const message of messages)
            if (message.fate === "arrived" || message.fate === "in flight") arrow(frame, message);
        pen.stroke();
    }
    pen.globalAlpha = (dim ? 0.55 : 0.9) * (frame.arrows.length > ARROWS_BOLD_MAX ? 0.5 : 1);
    pen.strokeStyle = colours.lost;
    pen.lineWidth = 1;
    for (const message of frame.arrows)
        if (message.fate !== "arrived" && message.fate !== "in flight") lostArrow(frame, message);
    pen.globalAlpha = 1;
    pen.strokeStyle = pen.fillStyle = colours.chosen;
    pen.lineWidth = 2.2;
    pen.beginPath();
    for (const message of frame.arrows) if (inChain(view, message)) arrow(frame, message);
    pen.stroke();
}

function inChain(view, message) {
    return message.arrive ? view.chain.has(message.arrive.id) : message.send.id === view.chosen;
}

// End points of an arrow: from the edge of one band to the edge of the other.
function ends({ lanes, scale }, message) {
    const from = lanes.nodes.get(message.source),
        to = lanes.nodes.get(message.target),
        edge = (LAYOUT.band / 2) * Math.sign(to - from);
    return { x0: scale.x(message.t0), y0: from + edge, x1: scale.x(message.t1), y1: to - edge };
}

function arrow(frame, message) {
    const { pen } = frame,
        { x0, y0, x1, y1 } = ends(frame, message);
    pen.moveTo(x0, y0);
    pen.lineTo(x1, y1);
    if (message.fate === "in flight" || frame.arrows.length > ARROWS_BOLD_MAX) return;
    const length = Math.hypot(x1 - x0, y1 - y0) || 1,
        ux = (x1 - x0) / length,
        uy = (y1 - y0) / length;
    pen.moveTo(x1 - 6 * ux - 2.6 * uy, y1 - 6 * uy + 2.6 * ux);
    pen.lineTo(x1, y1);
    pen.lineTo(x1 - 6 * ux + 2.6 * uy, y1 - 6 * uy - 2.6 * ux);
}

// Ends in a cross, on the way when the network lost it and at the node when that was down or the frame damaged.
function lostArrow(frame, message) {
    const { pen } = frame,
        { x0, y0, x1, y1 } = ends(frame, message);
    const part = message.fate === "down" || message.fate === "damaged" ? 0.93 : 0.6,
        x = x0 + (x1 - x0) * part,
        y = y0 + (y1 - y0) * part;
    pen.beginPath();
    pen.setLineDash([4, 3]);
    pen.moveTo(x0, y0);
    pen.lineTo(x, y);
    pen.stroke();
    pen.setLineDash([]);
    if (frame.arrows.length > ARROWS_BOLD_MAX) return;
    pen.beginPath();
    pen.moveTo(x - 3.5, y - 3.5);
    pen.lineTo(x + 3.5, y + 3.5);
    pen.moveTo(x - 3.5, y + 3.5);
    pen.lineTo(x + 3.5, y - 3.5);
    pen.stroke();
}

// Messages too many for arrows: how many each node sent, as a small histogram above its band.
function drawDensity({ pen, lanes, scale, view, colours, width }, messages) {
    const bins = Math.max(1, Math.floor((width - LAYOUT.left) / 3)),
        counts = new Map([...lanes.nodes.keys()].map((id) => [id, new Uint32Array(bins)]));
    let most = 1;
    for (const message of messages) {
        const bin = Math.floor(((message.t0 - view.from) / (view.to - view.from)) * bins);
        if (bin >= 0 && bin < bins) most = Math.max(most, ++counts.get(message.source)[bin]);
    }
    pen.fillStyle = messageColour(colours, messages[0].kind);
    pen.globalAlpha = 0.55;
    for (const [id, y] of lanes.nodes) {
        const own = counts.get(id);
        for (let bin = 0; bin < bins; bin++)
            if (own[bin]) {
                const height = 2 + (own[bin] / most) * 13;
                pen.fillRect(LAYOUT.left + bin * 3, y - LAYOUT.band / 2 - 4 - height, 2, height);
            }
    }
    pen.globalAlpha = 1;
}

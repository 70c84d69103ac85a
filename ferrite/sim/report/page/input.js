// Mouse, wheel, touch and keyboard.

const CLICK_PX = 4; // a smaller movement is a click
const NEAR_PX = 7;

// The keys of an action, how they are called in the help (null: with the one before), what it does.
const KEYS = [
    [["ArrowLeft"], "← →", "previous, next event", () => walk(-1)],
    [["ArrowRight"], null, "", () => walk(1)],
    [["Enter", "c"], "Enter, c", "go to the first cause of the chosen event", () => followCause()],
    [["e"], "e", "first error", () => firstError()],
    [["+", "=", "w"], "+ −", "zoom", () => zoom(0.6)],
    [["-", "s"], null, "", () => zoom(1 / 0.6)],
    [["f"], "f", "whole run", () => fit()],
    [["a", "PageUp"], "a d, Page ↑ ↓", "move back, on", () => pan(-0.4)],
    [["d", "PageDown"], null, "", () => pan(0.4)],
    [["ArrowUp"], "↑ ↓", "scroll the lanes", () => scrollBy(-LAYOUT.nodeMin)],
    [["ArrowDown"], null, "", () => scrollBy(LAYOUT.nodeMin)],
    [["Home"], "Home, End", "first, last event", () => choose(model.rows[0].id)],
    [["End"], null, "", () => choose(model.rows[model.rows.length - 1].id)],
    [["/"], "/", "search", () => byId("search").focus()],
    [["n"], "n N", "next, previous match", () => nextMatch(1)],
    [["N"], null, "", () => nextMatch(-1)],
    [["Escape"], "Esc", "choose nothing", () => moveCursor(view.cursor.t, view.cursor.index)],
];

const MOUSE = [
    ["wheel", "zoom at the pointer; with Shift move, with Alt scroll"],
    ["drag, click", "move; choose what is under the pointer"],
];

const LEGEND = [
    [
        "bands",
        "one colour per term: full = leader, hatched = candidate, pale = follower, dotted = down, striped = paused",
    ],
    ["arrows", "frames; a dashed one with a cross was lost or damaged; bold ones led to the chosen event"],
    ["▼ ✕ ▲ ○", "a fault strikes, the node goes down, boots, violates an invariant"],
    ["shading", "the node's links are cut, the darker the more of them"],
    ["bars", "clients' operations: green = ok, grey = refused, orange = unknown, sand = unanswered"],
    ["●", "where an operation took effect"],
];

function followCause() {
    const row = model.byId.get(view.chosen),
        causes = row ? causesOf(row) : [];
    if (causes.length) choose(causes[0]);
}

// Where an event is drawn, in CSS pixels of the canvas; null when its lane is hidden.
function place(id) {
    const row = model.byId.get(id),
        { lanes, scale } = frame;
    if (row.subject && row.kind !== "attempt") return { x: scale.x(row.t), y: lanes.clients.get(row.subject.client) };
    if (row.message) {
        const { x0, y0, x1, y1 } = ends(frame, row.message);
        return { x: (x0 + x1) / 2, y: (y0 + y1) / 2 };
    }
    return { x: scale.x(row.t), y: lanes.nodes.get(row.node) };
}

// What lies under the pointer: { row, text }, or null.
function hit(x, y) {
    if (!frame || x < LAYOUT.left || y < LAYOUT.axis) return null;
    return hitFault(x, y) || hitMark(x, y) || hitMessage(x, y) || hitOperation(x, y) || hitBand(x, y);
}

function hitFault(x, y) {
    const { lanes, scale } = frame,
        t = scale.t(x),
        slack = NEAR_PX / scale.perUs;
    let found = null;
    model.faultBars.touching(t - slack, t + slack, (fault) => {
        const top = lanes.faultTop + fault.level * LAYOUT.fault;
        const glyph = fault.row.nodes.some(
            (node) =>
                lanes.nodes.has(node) &&
                Math.abs(scale.x(fault.t0) - x) < NEAR_PX &&
                Math.abs(lanes.nodes.get(node) - LAYOUT.band / 2 - 9 - y) < NEAR_PX,
        );
        if ((y >= top && y < top + LAYOUT.fault) || glyph) found = { row: fault.row, text: rowText(fault.row, model) };
    });
    return found;
}

function hitMark(x, y) {
    for (const [id, middle] of frame.lanes.nodes) {
        if (Math.abs(y - middle) > frame.lanes.node / 2) continue;
        const near = model.nodes
            .get(id)
            .marks.find(
                (row) => Math.abs(frame.scale.x(row.t) - x) < NEAR_PX && Math.abs(middle - y) < LAYOUT.band + 4,
            );
        if (near) return { row: near, text: `node ${id} ${rowText(near, model)}` };
    }
    return null;
}

function hitMessage(x, y) {
    let best = null,
        least = 5;
    for (const message of frame.arrows) {
        const { x0, y0, x1, y1 } = ends(frame, message),
            dx = x1 - x0,
            dy = y1 - y0;
        const part = Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1)));
        const distance = Math.hypot(x - x0 - part * dx, y - y0 - part * dy);
        if (distance < least) {
            least = distance;
            best = message;
        }
    }
    return best && { row: best.arrive || best.send, text: `${frameText(model, best.send)}\n${flightText(best)}` };
}

function hitOperation(x, y) {
    const t = frame.scale.t(x),
        slack = 3 / frame.scale.perUs;
    for (const [name, middle] of frame.lanes.clients) {
        if (Math.abs(y - middle) > LAYOUT.client / 2) continue;
        let found = null;
        model.clients.get(name).intervals.touching(t - slack, t + slack, (operation) => {
            found = operation;
        });
        return found && { row: found.complete || found.row, text: operationTip(found) };
    }
    return null;
}

function operationTip(operation) {
    const took = operation.complete
        ? `${operation.outcome} after ${seconds(operation.t1 - operation.t0)} s`
        : "never answered";
    const result = operation.complete
        ? ["revision", "value", "detail"]
              .filter((name) => operation.complete[name])
              .map((name) => `${name} ${operation.complete[name]}`)
              .join(", ")
        : "";
    const point = operation.point === null ? "" : `\ntook effect at ${seconds(operation.point)} s`;
    const asked = `${operation.client}: ${operationText(operation)} (operation ${operation.number})`;
    return `${asked}\n${took}${result ? `: ${result}` : ""}${point}`;
}

function hitBand(x, y) {
    for (const [id, middle] of frame.lanes.nodes)
        if (Math.abs(y - middle) <= LAYOUT.band) {
            const t = frame.scale.t(x),
                now = nodeAt(model, id, indexAt(model, t));
            const what = now.up ? stateText(now.state) + (now.paused ? ", paused" : "") : "down";
            return { row: null, text: `node ${id} at ${seconds(Math.max(0, t))} s: ${what}` };
        }
    return null;
}

function showTip(x, y) {
    const tip = byId("tip"),
        found = hit(x, y);
    tip.hidden = !found;
    if (!found) return;
    tip.textContent = found.text;
    const stage = byId("stage"),
        left = Math.min(x + 14, stage.clientWidth - tip.offsetWidth - 8),
        top = y + overview.offsetHeight + 16;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${top + tip.offsetHeight > stage.clientHeight ? top - tip.offsetHeight - 28 : top}px`;
}

function click(x, y) {
    const found = hit(x, y);
    if (found && found.row) choose(found.row.id);
    else moveCursor(Math.max(0, Math.round(frame.scale.t(x))));
}

function listenPointer() {
    let start = null;
    canvas.addEventListener("pointerdown", (event) => {
        start = { x: event.offsetX, y: event.offsetY, from: view.from, to: view.to, scroll: view.scroll, moved: false };
        canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
        if (!start) {
            showTip(event.offsetX, event.offsetY);
            return;
        }
        const dx = event.offsetX - start.x,
            dy = event.offsetY - start.y;
        if (!start.moved && Math.hypot(dx, dy) < CLICK_PX) return;
        start.moved = true;
        canvas.classList.add("dragging");
        byId("tip").hidden = true;
        const move = (dx / (canvas.clientWidth - LAYOUT.left)) * (start.to - start.from);
        show(start.from - move, start.to - move);
        scrollBy(start.scroll - dy - view.scroll);
    });
    canvas.addEventListener("pointerup", (event) => {
        if (start && !start.moved) click(event.offsetX, event.offsetY);
        start = null;
        canvas.classList.remove("dragging");
    });
    canvas.addEventListener("pointerleave", () => {
        byId("tip").hidden = true;
    });
    canvas.addEventListener(
        "wheel",
        (event) => {
            event.preventDefault();
            byId("tip").hidden = true;
            if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))
                pan((event.deltaX || event.deltaY) / 900);
            else if (event.altKey) scrollBy(event.deltaY);
            else zoom(Math.exp(event.deltaY / 500), frame.scale.t(Math.max(event.offsetX, LAYOUT.left)));
        },
        { passive: false },
    );
}

function listenOverview() {
    const jump = (event) => {
        const t = ((event.offsetX - LAYOUT.left) / (overview.clientWidth - LAYOUT.left)) * model.end,
            half = (view.to - view.from) / 2;
        show(t - half, t + half);
    };
    overview.addEventListener("pointerdown", (event) => {
        overview.setPointerCapture(event.pointerId);
        jump(event);
    });
    overview.addEventListener("pointermove", (event) => {
        if (event.buttons) jump(event);
    });
}

function listenKeys() {
    const actions = new Map(KEYS.flatMap(([keys, , , act]) => keys.map((key) => [key, act])));
    document.addEventListener("keydown", (event) => {
        const typing = event.target.closest("input, button, summary, a");
        if (
            event.ctrlKey ||
            event.metaKey ||
            event.altKey ||
            (typing && !(event.target.tagName !== "INPUT" && event.key.length === 1 && event.key !== " "))
        )
            return;
        const act = actions.get(event.key);
        if (!act) return;
        event.preventDefault();
        act();
    });
    const help = [...LEGEND, ...MOUSE, ...KEYS.filter(([, name]) => name).map(([, name, what]) => [name, what])];
    for (const [sign, what] of help) byId("keys").append(element("dt", {}, sign), element("dd", {}, what));
}

function listenTools() {
    const on = (id, act) => byId(id).addEventListener("click", act);
    on("first-error", firstError);
    on("zoom-in", () => zoom(0.6));
    on("zoom-out", () => zoom(1 / 0.6));
    on("fit", fit);
    on("search-on", () => nextMatch(1));
    on("search-back", () => nextMatch(-1));
    on("theme", () => {
        theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
        applyTheme();
    });
    byId("notable").addEventListener("change", fillPanels);
    const box = byId("search");
    box.addEventListener("keydown", (event) => {
        if (event.key === "Escape") {
            box.blur();
            canvas.focus();
        }
        if (event.key !== "Enter") return;
        if (box.value.trim().toLowerCase() !== view.query) search(box.value);
        nextMatch(event.shiftKey ? -1 : 1);
    });
    box.addEventListener("change", () => {
        if (box.value.trim().toLowerCase() !== view.query) search(box.value);
    });
    document.addEventListener("pointerdown", (event) => {
        for (const menu of document.querySelectorAll(".menu[open]"))
            if (!menu.contains(event.target)) menu.open = false;
    });
}

function listenFilters() {
    const onchange = () => {
        scrollBy(0);
        fillPanels();
        changed();
    };
    const kinds = [...model.kinds]
        .sort((a, b) => b[1] - a[1])
        .map(([key, count]) => ({ key, text: key, count, colour: messageColour(colours, key) }));
    fillFilter(byId("filter-kinds"), view.hidden.kinds, kinds, onchange);
    fillFilter(
        byId("filter-nodes"),
        view.hidden.nodes,
        model.nodeIds.map((key) => ({ key, text: `node ${key}` })),
        onchange,
    );
    const clients = [...model.clients.values()].map(({ name, operations }) => ({
        key: name,
        text: name,
        count: operations.length,
    }));
    fillFilter(byId("filter-clients"), view.hidden.clients, clients, onchange);
}

function listen() {
    listenPointer();
    listenOverview();
    listenKeys();
    listenTools();
    listenFilters();
    new ResizeObserver(() => changed()).observe(canvas);
    darkSystem.addEventListener("change", applyTheme);
}

// The page: one view (window, cursor, filters), redrawn once per frame when something changed.

const packed = JSON.parse(byId("recording").textContent);
const model = buildModel(packed);
const canvas = byId("canvas"),
    overview = byId("overview");
const SPAN_MIN_US = 20;
const STORY_MESSAGES = 160; // so many arrows around an error are readable
const CHAIN_MAX = 400;

const view = {
    from: 0,
    to: model.end * 1.01,
    scroll: 0,
    cursor: { t: 0, index: -1 },
    chosen: null,
    chain: new Set(),
    matches: [],
    query: "",
    hidden: { kinds: new Set(), nodes: new Set(), clients: new Set() },
};
let colours,
    frame = null,
    wanted = false;

function redraw() {
    wanted = false;
    frame = drawTimeline(canvas, model, view, colours);
    drawOverview(overview, model, view, colours);
    byId("note").textContent = frame.left.length
        ? `Too many for arrows here, shown as bars: ${frame.left.join(", ")}. Zoom in.`
        : "";
    hook.drawn = frame.drawn;
}

function changed() {
    if (wanted) return;
    wanted = true;
    requestAnimationFrame(redraw);
}

// -- the window ----------------------------------------------------------------------------------------------

function show(from, to) {
    const most = model.end * 1.04,
        span = Math.min(Math.max(to - from, SPAN_MIN_US), most);
    const start = Math.min(Math.max(from, -0.02 * model.end), model.end * 1.02 - Math.min(span, model.end));
    view.from = start;
    view.to = start + span;
    changed();
}

function zoom(
    factor,
    at = view.cursor.t >= view.from && view.cursor.t <= view.to ? view.cursor.t : (view.from + view.to) / 2,
) {
    show(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

function pan(part) {
    const move = (view.to - view.from) * part;
    show(view.from + move, view.to + move);
}

function fit() {
    view.scroll = 0;
    show(-0.005 * model.end, model.end * 1.01);
}

function scrollBy(pixels) {
    const most = Math.max(0, arrange(view, model, canvas.clientHeight).height - canvas.clientHeight);
    view.scroll = Math.min(Math.max(view.scroll + pixels, 0), most);
    changed();
}

function keepInView(t) {
    const span = view.to - view.from;
    if (t < view.from || t > view.to) show(t - span / 2, t + span / 2);
}

// -- the cursor and the chosen event ---------------------------------------------------------------------------

function moveCursor(t, index = indexAt(model, t), chosen = null) {
    view.cursor = { t, index };
    view.chosen = chosen;
    view.chain = chosen === null ? new Set() : ancestors(chosen);
    fillPanels();
    changed();
}

function ancestors(id) {
    const found = new Set([id]),
        queue = [id];
    while (queue.length && found.size < CHAIN_MAX) {
        for (const cause of causesOf(model.byId.get(queue.shift())))
            if (!found.has(cause)) {
                found.add(cause);
                queue.push(cause);
            }
    }
    return found;
}

function choose(id) {
    const row = model.byId.get(id);
    moveCursor(row.t, row.index, id);
    keepInView(row.t);
    byId("spoken").textContent = `${seconds(row.t)} seconds, ${where(row, model)}, ${rowText(row, model)}`;
}

function fillPanels() {
    fillStates(model, view, colours);
    fillChosen(model, view, choose);
    fillFlights(model, view, choose);
    fillNear(model, view, choose, passes);
}

function passes(row) {
    if (byId("notable").checked && !isNotable(row)) return false;
    if (
        row.message &&
        (view.hidden.kinds.has(row.message.kind) ||
            view.hidden.nodes.has(row.message.source) ||
            view.hidden.nodes.has(row.message.target))
    )
        return false;
    if (row.subject && view.hidden.clients.has(row.subject.client)) return false;
    return !(row.node && view.hidden.nodes.has(row.node));
}

function walk(direction) {
    for (let i = view.cursor.index + direction; i >= 0 && i < model.rows.length; i += direction) {
        if (passes(model.rows[i])) {
            choose(model.rows[i].id);
            return;
        }
    }
}

function firstError() {
    const violation = model.violations[0];
    if (!violation) return;
    const messages = model.messages.items,
        end = upper(messages, violation.index, (message) => message.i0);
    const before = messages[Math.max(0, end - STORY_MESSAGES)];
    const span = Math.max(before ? violation.t - before.t0 : 0, 2000);
    show(violation.t - span, violation.t + span * 0.15);
    choose(violation.id);
}

// -- search ----------------------------------------------------------------------------------------------------

function search(query) {
    view.query = query.trim().toLowerCase();
    view.matches = !view.query
        ? []
        : model.rows
              .filter((row) => `${where(row, model)} ${rowText(row, model)}`.toLowerCase().includes(view.query))
              .map((row) => row.index);
    byId("matches").textContent = view.query ? `${view.matches.length.toLocaleString("en")} found` : "";
    changed();
    return view.matches.length;
}

function nextMatch(direction) {
    const { matches } = view;
    if (!matches.length) return;
    const place =
        direction > 0
            ? upper(matches, view.cursor.index, (i) => i)
            : upper(matches, view.cursor.index - 1, (i) => i) - 1;
    const at = (place + matches.length) % matches.length;
    choose(model.rows[matches[at]].id);
    byId("matches").textContent = `${(at + 1).toLocaleString("en")} of ${matches.length.toLocaleString("en")}`;
}

// -- colours ---------------------------------------------------------------------------------------------------

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const THEMES = ["auto", "light", "dark"];
let theme = "auto";

function applyTheme() {
    document.documentElement.dataset.theme = theme === "auto" ? (darkSystem.matches ? "dark" : "light") : theme;
    byId("theme").textContent = `Theme: ${theme}`;
    byId("theme").setAttribute("aria-label", `Colours: ${theme === "auto" ? "as the system" : theme}`);
    colours = palette();
    if (frame) {
        fillPanels();
        changed();
    }
}

// For tests and for the browser's console; docs/timeline.md describes it.
const hook = {
    ready: false,
    drawn: {},
    get view() {
        return {
            from: view.from,
            to: view.to,
            cursor: { ...view.cursor },
            chosen: view.chosen,
            chain: [...view.chain],
        };
    },
    stateAt: (t) => Object.fromEntries(model.nodeIds.map((id) => [id, nodeAt(model, id, indexAt(model, t))])),
    inFlightAt: (t) => inFlight(model, indexAt(model, t)).map((message) => message.send.id),
    show,
    choose,
    search,
    nextMatch,
    firstError,
    moveCursor: (t) => {
        moveCursor(t);
        keepInView(t);
    },
    place: (id) => place(id),
};
window.timeline = hook;

applyTheme();
fillHeader(model, packed);
listen();
fit();
if (model.violations.length) firstError();
else moveCursor(0);
redraw();
hook.ready = true;

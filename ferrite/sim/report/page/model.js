// The recording as the page needs it: rows by index, and for each lane what lies on it. Built once, never changed.
// An index is a position in `rows`; everything that is true "at a moment" is true at an index.

const BLOCK = 256; // intervals are searched block by block

function unpack(packed) {
    const texts = packed.texts;
    const rows = [],
        points = [],
        byId = new Map();
    let id = 0,
        t = 0;
    for (const cells of packed.rows) {
        const kind = packed.kinds[cells[0]];
        id += cells[1];
        t += cells[2];
        const row = { kind, id, t };
        packed.layout[kind].forEach(([name, codec], place) => {
            const value = cells[place + 3];
            if (codec === "text") row[name] = texts[value];
            else if (codec === "texts")
                row[name] = value; // looked up when shown: most never are
            else if (codec === "back") row[name] = value.map((distance) => id - distance);
            else if (codec === "state") row[name] = value && unpackState(value, packed);
            else row[name] = value;
        });
        if (kind === "point") {
            points.push(row);
            continue;
        }
        row.index = rows.length;
        rows.push(row);
        byId.set(id, row);
    }
    return { rows, points, byId, texts };
}

function unpackState(cells, packed) {
    const state = {};
    packed.state.forEach((name, place) => {
        state[name] = cells[place];
    });
    state.role = packed.texts[state.role];
    for (const name of ["voters", "outgoing", "learners"]) state[name] = packed.members[state[name]];
    return state;
}

// First place in `list` whose key is greater than `limit`.
function upper(list, limit, key) {
    let low = 0,
        high = list.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (key(list[middle]) <= limit) low = middle + 1;
        else high = middle;
    }
    return low;
}

// Things with a beginning and an end, sorted by the beginning: finds those that touch a range.
class Intervals {
    constructor(items, begin, end) {
        this.items = items;
        this.begin = begin;
        this.end = end;
        this.blocks = [];
        for (let from = 0; from < items.length; from += BLOCK) {
            let latest = -Infinity;
            for (let i = from; i < Math.min(from + BLOCK, items.length); i++) latest = Math.max(latest, end(items[i]));
            this.blocks.push(latest);
        }
    }
    touching(from, to, visit) {
        const stop = upper(this.items, to, this.begin);
        for (let block = 0; block * BLOCK < stop; block++) {
            if (this.blocks[block] < from) continue;
            const last = Math.min((block + 1) * BLOCK, stop);
            for (let i = block * BLOCK; i < last; i++) if (this.end(this.items[i]) >= from) visit(this.items[i]);
        }
    }
}

function messageKind(texts, send) {
    if (!send.messages.length) return "empty";
    const names = send.messages.map((text) => texts[text].split(/[\s:,(]/, 1)[0] || "?");
    // A frame with several messages counts as the first that is no heartbeat.
    return names.find((name) => !name.startsWith("Heartbeat")) || names[0];
}

function buildMessages(model) {
    const bySend = new Map(),
        all = [];
    for (const row of model.rows) {
        if (row.kind === "send") {
            const message = {
                send: row,
                source: row.source,
                target: row.target,
                t0: row.t,
                t1: model.end,
                i0: row.index,
                i1: Infinity,
                kind: messageKind(model.texts, row),
                fate: "in flight",
                arrive: null,
            };
            bySend.set(row.id, message);
            all.push(message);
        } else if (row.kind === "arrive" || row.kind === "lost") {
            let message = bySend.get(row.send);
            if (message.fate !== "in flight") {
                // the network delivered it twice
                message = { ...message };
                all.push(message);
            }
            message.t1 = row.t;
            message.i1 = row.index;
            message.fate = row.kind === "lost" ? row.why : row.damaged ? "damaged" : "arrived";
            message.arrive = row;
            row.message = message;
        }
    }
    for (const [id, message] of bySend) model.byId.get(id).message = message;
    all.sort((a, b) => a.i0 - b.i0);
    return all;
}

function buildNodes(model, ids) {
    const nodes = new Map(ids.map((id) => [id, { id, moments: [], bands: [], pauses: [], marks: [], steps: [] }]));
    const open = new Map(),
        pause = new Map();
    const moment = (row, up, state, paused) => {
        const node = nodes.get(row.node);
        node.moments.push({ index: row.index, t: row.t, up, state, paused });
        const band = open.get(row.node);
        const same = band && band.up === up && band.role === state?.role && band.term === (state?.term ?? 0);
        if (same) return;
        if (band) {
            band.t1 = row.t;
            node.bands.push(band);
        }
        open.set(row.node, { t0: row.t, t1: model.end, up, role: state?.role, term: state?.term ?? 0 });
    };
    for (const id of ids) moment({ node: id, index: -1, t: 0 }, false, null, false);
    for (const row of model.rows) {
        const node = nodes.get(row.node);
        if (!node) continue;
        const before = node.moments[node.moments.length - 1];
        if (row.kind === "boot") {
            moment(row, true, bootState(row), false);
            node.marks.push(row);
        } else if (row.kind === "down") {
            moment(row, false, null, false);
            node.marks.push(row);
            closePause(node, pause, row.t);
        } else if (row.kind === "paused") {
            moment(row, before.up, before.state, true);
            pause.set(node.id, row.t);
        } else if (row.kind === "resumed") {
            moment(row, before.up, before.state, false);
            closePause(node, pause, row.t);
        } else if (row.kind === "step") {
            node.steps.push(row);
            if (row.state) {
                row.turn = isTurn(before.state, row.state);
                moment(row, true, row.state, before.paused);
            }
        } else if (row.kind === "violation") node.marks.push(row);
    }
    for (const node of nodes.values()) {
        closePause(node, pause, model.end);
        node.bands.push(open.get(node.id));
    }
    return nodes;
}

// Did more change than the indices that move with every entry?
function isTurn(before, now) {
    return (
        ["role", "term", "leader"].some((name) => (before?.[name] || null) !== (now[name] || null)) ||
        ["voters", "outgoing", "learners"].some(
            (name) => before?.[name] && String(before[name]) !== String(now[name]),
        ) ||
        now.last < (before?.last ?? 0)
    );
}

function closePause(node, pause, t) {
    if (!pause.has(node.id)) return;
    node.pauses.push({ t0: pause.get(node.id), t1: t });
    pause.delete(node.id);
}

// After a start, until the first step tells more.
function bootState(row) {
    return {
        role: "follower",
        term: row.term,
        leader: null,
        commit: row.applied,
        applied: row.applied,
        persisted: row.last,
        last: row.last,
        voters: null,
        outgoing: [],
        learners: [],
    };
}

function buildClients(model) {
    const clients = new Map(),
        operations = new Map();
    for (const row of model.rows) {
        if (row.kind === "invoke") {
            if (!clients.has(row.client)) clients.set(row.client, { name: row.client, operations: [] });
            const operation = {
                row,
                number: row.operation,
                client: row.client,
                t0: row.t,
                t1: model.end,
                outcome: "pending",
                point: null,
                attempts: [],
            };
            operations.set(row.operation, operation);
            clients.get(row.client).operations.push(operation);
            row.subject = operation;
        } else if (row.kind === "attempt" || row.kind === "complete") {
            const operation = operations.get(row.operation);
            row.subject = operation;
            if (!operation) continue;
            if (row.kind === "attempt") operation.attempts.push(row);
            else {
                operation.t1 = row.t;
                operation.outcome = row.outcome;
                operation.complete = row;
            }
        }
    }
    for (const point of model.points) {
        const operation = operations.get(point.operation);
        if (operation) operation.point = point.t;
    }
    const inOrder = [...clients].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
    for (const client of clients.values())
        client.intervals = new Intervals(
            client.operations,
            (o) => o.t0,
            (o) => Math.max(o.t1, o.point ?? 0),
        );
    return new Map(inOrder);
}

// Fault bars are stacked where they overlap.
function buildFaults(model) {
    const free = [];
    const faults = model.rows
        .filter((row) => row.kind === "fault")
        .map((row) => {
            const fault = { row, t0: row.t, t1: Math.max(row.until, row.t), share: linkShare(row, model.nodeIds) };
            let level = free.findIndex((until) => until < fault.t0);
            if (level < 0) level = free.length < 5 ? free.length : free.indexOf(Math.min(...free));
            free[level] = fault.t1;
            fault.level = level;
            return fault;
        });
    return { faults, levels: free.length };
}

// For each node the part of its links, both directions, that a partition cuts.
function linkShare(row, nodeIds) {
    const share = new Map();
    for (const [source, target] of row.links)
        for (const node of [source, target]) share.set(node, (share.get(node) || 0) + 1);
    for (const [node, count] of share) share.set(node, count / (2 * Math.max(1, nodeIds.length - 1)));
    return share;
}

function buildModel(packed) {
    const model = unpack(packed);
    model.run = packed.run;
    model.nodeIds = packed.run.nodes;
    const latest = model.rows.reduce((most, row) => Math.max(most, row.t), 0);
    model.end = Math.max(latest, 1);
    model.messages = new Intervals(
        buildMessages(model),
        (m) => m.t0,
        (m) => m.t1,
    );
    model.flights = new Intervals(
        model.messages.items,
        (m) => m.i0,
        (m) => m.i1,
    );
    model.nodes = buildNodes(model, model.nodeIds);
    model.clients = buildClients(model);
    Object.assign(model, buildFaults(model));
    model.faultBars = new Intervals(
        model.faults,
        (f) => f.t0,
        (f) => f.t1,
    );
    model.kinds = new Map();
    for (const message of model.messages.items) model.kinds.set(message.kind, (model.kinds.get(message.kind) || 0) + 1);
    model.violations = model.rows.filter((row) => row.kind === "violation");
    model.effects = new Map();
    for (const row of model.rows)
        for (const cause of causesOf(row)) {
            if (!model.effects.has(cause)) model.effects.set(cause, []);
            model.effects.get(cause).push(row.id);
        }
    return model;
}

function causesOf(row) {
    const ids = row.causes ? [...row.causes] : [];
    if (row.send) ids.push(row.send);
    if (row.kind === "complete" && row.subject) {
        for (const { id } of [row.subject.row, ...row.subject.attempts])
            if (id < row.id && !ids.includes(id)) ids.push(id);
    }
    return ids;
}

function indexAt(model, t) {
    return upper(model.rows, t, (row) => row.t) - 1;
}

function nodeAt(model, node, index) {
    const moments = model.nodes.get(node).moments;
    return moments[upper(moments, index, (moment) => moment.index) - 1];
}

function inFlight(model, index) {
    const found = [];
    // `i1` is the row that ends the flight: at that row it is over.
    model.flights.touching(index + 1, index, (message) => found.push(message));
    return found;
}

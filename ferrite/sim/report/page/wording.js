// Rows as text for people.

function seconds(t) {
    const whole = Math.floor(t / 1e6);
    return `${whole}.${String(Math.round(t - whole * 1e6)).padStart(6, "0")}`;
}

function frameText(model, send) {
    return send.messages.map((text) => model.texts[text]).join("; ") || "an empty frame";
}

function stateText(state) {
    if (!state) return "";
    const leader = state.leader ? `, leader ${state.leader}` : "";
    return `${state.role} of term ${state.term}${leader}, commit ${state.commit}, applied ${state.applied}, last ${state.last}`;
}

function operationText(operation) {
    const { what, key, value } = operation.row;
    return `${what} ${key ?? ""}${value === null || value === undefined ? "" : ` = ${value}`}`;
}

// Who it concerns, short.
function where(row, model) {
    if (row.kind === "send") return `node ${row.source}`;
    if (row.kind === "lost") return `node ${model.byId.get(row.send).source}`;
    if (row.subject && row.kind !== "attempt") return row.subject.client;
    if (row.kind === "fault" && row.nodes.length === 1) return `node ${row.nodes[0]}`;
    return row.node ? `node ${row.node}` : "cluster";
}

function rowText(row, model) {
    switch (row.kind) {
        case "run":
            return `run with seed ${row.seed}`;
        case "boot":
            return (
                `${row.boot > 1 ? `starts again (boot ${row.boot})` : "starts"}: ` +
                `term ${row.term}, log up to ${row.last}, applied ${row.applied}`
            );
        case "down":
            return `goes down: ${row.why}`;
        case "paused":
            return "is paused";
        case "resumed":
            return "goes on after its pause";
        case "step": {
            const events = row.events.map((text) => model.texts[text]).join("; ") || "timer";
            const actions = row.actions.map((text) => model.texts[text]).join("; ");
            return `${events} → ${actions || "nothing to do"}`;
        }
        case "send":
            return `sends to ${row.target}: ${frameText(model, row)}`;
        case "arrive":
            return (
                `gets from ${row.message.source}: ${frameText(model, row.message.send)}` +
                (row.damaged ? " (damaged, dropped)" : "")
            );
        case "lost":
            return `lost (${row.why}) on the way to ${row.message.target}: ${frameText(model, row.message.send)}`;
        case "disk":
            return `disk: ${row.text}`;
        case "commit":
            return `commits ${row.first}..${row.last} of term ${row.term}`;
        case "fault":
            return `fault ${row.fault}: ${row.text || row.what}${row.until > row.t ? `, until ${seconds(row.until)} s` : ""}`;
        case "invoke":
            return `asks ${operationText(row.subject)} (operation ${row.operation})`;
        case "attempt":
            return `operation ${row.operation} goes to node ${row.node}`;
        case "complete":
            return [
                `operation ${row.operation}: ${row.outcome}`,
                ...(row.revision ? [`revision ${row.revision}`] : []),
                ...(row.detail ? [row.detail] : []),
            ].join(", ");
        case "violation":
            return `${row.name} violated: ${row.sentence} ${row.facts}`;
        case "end":
            return `end: ${row.verdict}`;
        default:
            return row.kind;
    }
}

const NOTABLE = new Set(["boot", "down", "paused", "resumed", "commit", "fault", "violation", "end", "run"]);

function isNotable(row) {
    return NOTABLE.has(row.kind) || Boolean(row.kind === "step" && row.turn);
}

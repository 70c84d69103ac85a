// The parts beside the drawing: header, states at the cursor, the chosen event with causes and effects, lists.

const NEAR = 30; // events shown on either side of the cursor
const FLIGHTS_MAX = 40;
const LINKS_MAX = 12;

function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
        else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
}

const byId = (id) => document.getElementById(id);

function fillHeader(model, packed) {
    const { run } = model,
        violation = model.violations[0],
        end = model.rows.findLast((row) => row.kind === "end");
    const verdict = violation ? `${violation.what}: ${violation.name}` : end ? end.verdict : "no verdict";
    byId("verdict").textContent = verdict;
    byId("verdict").className = `badge ${violation || (end && end.verdict !== "clean") ? "bad" : "good"}`;
    const facts = [
        `seed ${run.seed}`,
        `${run.nodes.length} nodes`,
        `${model.rows.length.toLocaleString("en")} events`,
        `${seconds(model.end)} s simulated`,
    ];
    if (run.commit) facts.push(`commit ${run.commit.slice(0, 12)}`);
    if (end) facts.push(`digest ${end.digest}`);
    byId("about").textContent = facts.join(" · ");
    document.title = `${verdict} · seed ${run.seed} · Ferrite run`;
    if (violation) {
        byId("finding").hidden = false;
        const place = violation.node ? `, node ${violation.node}` : "";
        byId("sentence").textContent = `${violation.name} at ${seconds(violation.t)} s${place}: ${violation.sentence}`;
        byId("facts").textContent = violation.facts;
    }
    if (run.replay) {
        byId("replay").hidden = false;
        byId("command").textContent = run.replay;
        byId("copy").addEventListener("click", () => copyText(run.replay));
    }
    byId("first-error").disabled = !violation;
    if (!violation) byId("first-error").title = "no check failed in this run";
}

async function copyText(text) {
    try {
        await navigator.clipboard.writeText(text);
        byId("copy").textContent = "Copied";
    } catch {
        // a browser may refuse it for local files: then the command is marked, ready to be copied by hand
        getSelection().selectAllChildren(byId("command"));
        byId("copy").textContent = "Press Ctrl+C";
    }
}

function fillStates(model, view, colours) {
    const { index, t } = view.cursor;
    byId("when").textContent = `At ${seconds(t)} s${index >= 0 ? `, after event ${model.rows[index].id}` : ""}`;
    const body = document.createDocumentFragment();
    for (const id of model.nodeIds) {
        const now = nodeAt(model, id, index),
            state = now.state;
        const dot = element("span", { class: "dot", "aria-hidden": "true" });
        if (now.up)
            dot.style.background = state.role === "leader" ? colours.term(state.term) : colours.tint(state.term);
        dot.style.borderColor = now.up ? colours.term(state.term) : colours.bad;
        const line = element(
            "tr",
            { class: now.index === index && index >= 0 ? "moved" : null, "data-node": id },
            element("th", { scope: "row" }, String(id)),
        );
        const role = element("td", {}, dot, now.up ? state.role + (now.paused ? " (paused)" : "") : "down");
        const cells = now.up
            ? [state.term, state.leader || "–", state.commit, state.applied, state.persisted, state.last]
            : ["", "", "", "", "", ""];
        const members = now.up ? membersText(state) : "";
        line.append(
            role,
            ...cells.map((cell) => element("td", {}, String(cell))),
            element("td", { title: members }, members),
        );
        body.append(line);
    }
    byId("states").tBodies[0].replaceChildren(body);
}

function membersText(state) {
    if (!state.voters) return "?";
    const outgoing = state.outgoing.length ? ` ← ${state.outgoing.join(" ")}` : "";
    return state.voters.join(" ") + outgoing + (state.learners.length ? ` + ${state.learners.join(" ")}` : "");
}

function rowButton(row, model, choose, current) {
    const text = rowText(row, model);
    return element(
        "button",
        {
            type: "button",
            "data-id": row.id,
            title: text,
            "aria-current": current ? "true" : null,
            onclick: () => choose(row.id),
        },
        element("time", {}, seconds(row.t)),
        element("span", { class: "who" }, where(row, model)),
        element("span", { class: `what ${row.kind}` }, text),
    );
}

function fillChosen(model, view, choose) {
    const box = byId("chosen"),
        row = model.byId.get(view.chosen);
    if (!row) {
        box.replaceChildren(
            element(
                "p",
                { class: "label" },
                "Click an arrow, a bar or an event to see what it was and what caused it.",
            ),
        );
        return;
    }
    const parts = [element("p", {}, element("strong", {}, `${where(row, model)} `), rowText(row, model))];
    if (row.state) parts.push(element("p", { class: "label" }, `now ${stateText(row.state)}`));
    if (row.message) parts.push(element("p", { class: "label" }, flightText(row.message)));
    parts.push(...linkList("Because of", causesOf(row), model, choose));
    parts.push(...linkList("Led to", model.effects.get(row.id) || [], model, choose));
    box.replaceChildren(...parts);
    box.scrollTop = 0;
}

function flightText(message) {
    const took =
        message.fate === "in flight"
            ? "still in flight at the end"
            : `${message.fate} after ${seconds(message.t1 - message.t0)} s`;
    return `node ${message.source} → node ${message.target}, ${message.send.bytes} bytes, ${took}`;
}

function linkList(title, ids, model, choose) {
    if (!ids.length) return [];
    const shown = ids.slice(0, LINKS_MAX).map((id) => rowButton(model.byId.get(id), model, choose, false));
    const more = ids.length > LINKS_MAX ? [element("p", { class: "label" }, `and ${ids.length - LINKS_MAX} more`)] : [];
    return [element("p", { class: "label" }, title), ...shown, ...more];
}

function fillFlights(model, view, choose) {
    const flights = inFlight(model, view.cursor.index);
    byId("flight-title").textContent = `In flight: ${flights.length}`;
    const lines = flights.slice(0, FLIGHTS_MAX).map((message) => {
        const text = `${message.source} → ${message.target}  ${frameText(model, message.send)}`;
        return element(
            "li",
            {},
            element(
                "button",
                { type: "button", title: text, onclick: () => choose(message.send.id) },
                element("time", {}, seconds(message.t0)),
                element("span", { class: "what" }, text),
            ),
        );
    });
    if (flights.length > FLIGHTS_MAX)
        lines.push(element("li", { class: "label" }, `and ${flights.length - FLIGHTS_MAX} more`));
    byId("flights").replaceChildren(...lines);
}

function fillNear(model, view, choose, passes) {
    const before = [],
        after = [];
    for (let i = view.cursor.index; i >= 0 && before.length < NEAR; i--)
        if (passes(model.rows[i])) before.push(model.rows[i]);
    for (let i = view.cursor.index + 1; i < model.rows.length && after.length < NEAR; i++)
        if (passes(model.rows[i])) after.push(model.rows[i]);
    const rows = [...before.reverse(), ...after];
    const items = rows.map((row) => element("li", {}, rowButton(row, model, choose, row.id === view.chosen)));
    byId("near").replaceChildren(...items);
    const place = before.length - 1;
    if (place < 0) byId("near").scrollTop = 0;
    else scrollInto(items[place], byId("near"));
}

// Like scrollIntoView, but moves nothing else than the list.
function scrollInto(item, box) {
    box.scrollTop = item.offsetTop - box.offsetTop - box.clientHeight / 2;
}

function fillFilter(box, hidden, entries, onchange) {
    const every = element("label", {}, element("input", { type: "checkbox" }), "all");
    const inputs = entries.map(({ key, text, count, colour }) => {
        const input = element("input", { type: "checkbox", value: key });
        input.checked = !hidden.has(key);
        input.addEventListener("change", () => {
            if (input.checked) hidden.delete(key);
            else hidden.add(key);
            update();
        });
        const swatch = colour ? [element("span", { class: "swatch" })] : [];
        if (colour) swatch[0].style.background = colour;
        box.append(
            element(
                "label",
                {},
                input,
                ...swatch,
                text,
                ...(count === undefined ? [] : [element("span", { class: "count" }, count.toLocaleString("en"))]),
            ),
        );
        return { key, input };
    });
    const all = every.firstChild;
    const sync = () => {
        all.checked = hidden.size === 0;
        all.indeterminate = hidden.size > 0 && hidden.size < entries.length;
    };
    const update = () => {
        sync();
        onchange();
    };
    all.addEventListener("change", () => {
        for (const { key, input } of inputs) {
            input.checked = all.checked;
            if (all.checked) hidden.delete(key);
            else hidden.add(key);
        }
        update();
    });
    box.querySelector("legend").after(every);
    sync();
}

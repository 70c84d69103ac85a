// Colours: those of the style sheet, and one per term.

const TERM_HUES = [235, 155, 300, 85, 195, 345, 120, 270]; // neighbours differ, none is the red of failures

function palette() {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(`--${name}`).trim();
    const colours = {};
    for (const name of [
        "back",
        "panel",
        "line",
        "ink",
        "soft",
        "accent",
        "bad",
        "good",
        "warn",
        "cursor",
        "lane",
        "append",
        "heartbeat",
        "vote",
        "snapshot",
        "read",
        "other",
        "lost",
        "ok",
        "fail",
        "info",
        "pending",
        "fault",
        "disk",
        "cut",
        "shade",
        "chosen",
        "on-term",
        "on-tint",
    ])
        colours[name] = get(name);
    colours.term = (term) =>
        `oklch(${get("term-lightness")} ${get("term-chroma")} ${TERM_HUES[term % TERM_HUES.length]})`;
    colours.tint = (term) =>
        `oklch(${get("tint-lightness")} ${get("tint-chroma")} ${TERM_HUES[term % TERM_HUES.length]})`;
    return colours;
}

function messageColour(colours, kind) {
    if (kind.startsWith("AppendEntries")) return colours.append;
    if (kind.startsWith("Heartbeat")) return colours.heartbeat;
    if (/Vote|TimeoutNow/.test(kind)) return colours.vote;
    if (/Snapshot/.test(kind)) return colours.snapshot;
    if (/ReadIndex|Forward/.test(kind)) return colours.read;
    return colours.other;
}

function faultColour(colours, what) {
    return /disk|sync|bit|sector|torn|wipe|read|write|store|space/i.test(what) ? colours.disk : colours.fault;
}

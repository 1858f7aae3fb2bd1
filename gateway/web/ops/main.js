/** The operators' page: health and metrics of the gateway that answers, every two seconds, for as long as it is looked at. */

import { Part, fill, h, keyed } from "../app/dom.js";
import { icon } from "../app/icons.js";
import { chart } from "./chart.js";
import { by, parse, quantile, sum } from "./prometheus.js";

const EVERY_MS = 2000;
const KEPT = 150;
const LEAST = 30;
const TOKEN = "headrace.ops";

/** What is drawn over time: `of(now, before, seconds)` is a number, or null where it is not known. */
const CHARTS = [
  { key: "connections", title: "Connections", unit: "", of: (now) => sum(now.get("headrace_ws_connections")) },
  { key: "intents", title: "Intents a second", unit: "/s", of: (now, before, seconds) => rate(now, before, seconds, "headrace_intents_total") },
  { key: "p50", title: "Latency, median", unit: " ms", of: (now, before) => ms(quantile(now.get("headrace_message_seconds_bucket"), before?.get("headrace_message_seconds_bucket"), 0.5)) },
  { key: "p99", title: "Latency, 99 %", unit: " ms", of: (now, before) => ms(quantile(now.get("headrace_message_seconds_bucket"), before?.get("headrace_message_seconds_bucket"), 0.99)) },
  { key: "lag", title: "Entries behind", unit: "", of: (now) => sum(now.get("headrace_stream_lag_entries")) },
  { key: "age", title: "Oldest entry", unit: " s", of: (now) => highest(now.get("headrace_stream_oldest_age_seconds")) },
  { key: "scans", title: "Files to scan", unit: "", of: (now, _before, _seconds, health) => sum(now.get("headrace_scan_queue_entries")) ?? health.attachments?.queue_entries ?? null },
  { key: "limited", title: "Refused by limits", unit: "/s", of: (now, before, seconds) => rate(now, before, seconds, "headrace_rate_limited_total") },
  { key: "dead", title: "Dead letters", unit: "", of: (_now, _before, _seconds, health) => health.streams?.dead_entries ?? null },
];

const ms = (seconds) => (seconds === null ? null : seconds * 1000);
const highest = (samples) => samples?.reduce((most, one) => (one.value >= 0 ? Math.max(most ?? 0, one.value) : most), null) ?? null;

function rate(now, before, seconds, name) {
  // A counter that nothing was counted in is not told: it is zero.
  return before && seconds ? Math.max(0, (sum(now.get(name)) ?? 0) - (sum(before.get(name)) ?? 0)) / seconds : null;
}

class Ops extends Part {
  #series = new Map(CHARTS.map((one) => [one.key, []]));
  #before = null;
  #beforeAt = 0;
  #timer = 0;

  start() {
    this.hear(document, "visibilitychange", () => void this.#look());
    if (sessionStorage.getItem(TOKEN)) this.#open();
    else this.#ask();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #ask(problem = "") {
    clearTimeout(this.#timer);
    this.board = null;
    const input = h("input", { class: "field", type: "password", autocomplete: "off", required: true, autofocus: true });
    const submit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN, input.value.trim());
      this.#open();
    };
    fill(this, h("main", { class: "ask" }, h("h1", null, "Operations"), h("p", { class: "quiet" }, "The ops token opens health and metrics of this gateway. It is kept until this tab closes."), h("form", { class: "form", onsubmit: submit }, h("label", { class: "row-field" }, "Ops token", input), problem ? h("p", { class: "problem", role: "alert" }, problem) : null, h("button", { class: "button primary wide" }, "Open"))));
    input.focus();
  }

  #open() {
    this.said = h("p", { class: "status", role: "status" });
    this.alerts = h("ul", { class: "alerts" });
    this.facts = h("dl", { class: "facts" });
    this.board = h("div", { class: "charts" });
    this.tables = h("div", { class: "tables" });
    const leave = h("button", { type: "button", class: "button small", onclick: () => this.#forget() }, "Forget the token");
    fill(this, h("header", { class: "ops-head" }, icon("wave"), h("h1", null, "Operations"), this.said, leave), h("main", { class: "ops" }, this.alerts, this.facts, this.board, this.tables, h("p", { class: "quiet foot" }, "Of the gateway that answers at this address. Consumers tell their own at HEADRACE_METRICS_PORT.")));
    void this.#look();
  }

  #forget() {
    sessionStorage.removeItem(TOKEN);
    this.#ask();
  }

  async #look() {
    clearTimeout(this.#timer);
    if (document.hidden || !this.board) return;
    try {
      const [health, metrics] = await Promise.all([this.#get("/health/detailed"), this.#get("/metrics")]);
      if (health.status === 401 || metrics.status === 401) {
        sessionStorage.removeItem(TOKEN);
        this.#ask("That is not the ops token.");
        return;
      }
      if (health.status === 404) {
        this.#ask("This gateway has no ops token: set HEADRACE_OPS_TOKEN.");
        return;
      }
      this.#draw(JSON.parse(await health.text()), parse(await metrics.text()));
    } catch {
      this.said.textContent = "The gateway does not answer";
      this.said.className = "status bad";
      for (const values of this.#series.values()) push(values, null);
      this.#before = null;
    }
    this.#timer = setTimeout(() => void this.#look(), EVERY_MS);
  }

  #get(path) {
    return fetch(path, { headers: { Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` }, cache: "no-store" });
  }

  #draw(health, metrics) {
    if (!this.board) return;
    const now = performance.now();
    const seconds = this.#beforeAt ? (now - this.#beforeAt) / 1000 : 0;
    for (const one of CHARTS) push(this.#series.get(one.key), one.of(metrics, this.#before, seconds, health));
    this.#before = metrics;
    this.#beforeAt = now;
    const ready = health.status === "ready";
    this.said.textContent = ready ? "Ready" : `Not ready: ${(health.reasons ?? []).join(", ")}`;
    this.said.className = ready ? "status good" : "status bad";
    fill(this.alerts, (health.alerts ?? []).map((text) => h("li", null, icon("alert"), text)));
    this.#drawFacts(health);
    keyed(this.board, CHARTS, (one) => one.key, (one) => this.#card(h("section", { class: "card chart-card" }), one), (element, one) => this.#card(element, one));
    this.#drawTables(metrics, health.streams);
  }

  #card(element, { key, title, unit }) {
    const values = this.#series.get(key);
    const last = values.at(-1);
    const said = last === null || last === undefined ? "–" : `${short(last)}${unit}`;
    fill(element, h("h2", { class: "label" }, title), h("p", { class: "figure" }, said), chart(values, Math.max(LEAST, values.length), `${title}: ${said}`));
    return element;
  }

  #drawFacts(health) {
    const rows = [["Up for", duration(health.uptime_seconds)]];
    for (const [name, one] of Object.entries(health.dependencies ?? {})) rows.push([name, one.up ? `up, ${one.round_trip_ms ?? "?"} ms` : "away"]);
    const files = health.attachments;
    if (files) rows.push(["Object store", files.object_store_up ? "up" : "away"], ["Scanner", files.scanner_up === null ? "unknown" : files.scanner_up ? "up" : "away"], ["Signatures", files.signatures_age_seconds === null ? "unknown" : `${duration(files.signatures_age_seconds)} old`]);
    fill(this.facts, rows.map(([name, value]) => h("div", { class: value === "away" ? "fact bad" : "fact" }, h("dt", null, name), h("dd", null, value))));
  }

  #drawTables(metrics, streams) {
    const lag = by(metrics.get("headrace_stream_lag_entries"), "stage");
    const age = metrics.get("headrace_stream_oldest_age_seconds") ?? [];
    const stages = [...new Set([...lag.keys(), ...Object.keys(streams?.stages ?? {})])].sort();
    const oldest = (stage) => highest(age.filter((one) => one.labels.stage === stage));
    const cell = (value) => (value === undefined || value === null ? "–" : short(value));
    const owners = (stage) => {
      const { owners: found = {}, unowned = 0 } = streams?.stages[stage] ?? {};
      const said = Object.entries(found).map(([worker, many]) => `${worker} × ${many}`);
      return said.length === 0 ? "nobody" : [...said, unowned > 0 ? `nobody × ${unowned}` : null].filter(Boolean).join(", ");
    };
    const work = stages.length > 0 && table("Streams", ["Stage", "Behind", "Oldest, s", "Partitions, by owner"], stages.map((stage) => [stage, cell(lag.get(stage)), cell(oldest(stage)), owners(stage)]));
    const buckets = metrics.get("headrace_message_seconds_bucket");
    const ways = [...new Set((buckets ?? []).map((one) => one.labels.stage))].sort();
    const latency = ways.length > 0 && table("Latency since the start, ms", ["Stage", "50 %", "90 %", "99 %"], ways.map((way) => [way, ...[0.5, 0.9, 0.99].map((one) => cell(ms(quantile(buckets, undefined, one, (labels) => labels.stage === way))))]));
    const outcomes = (metrics.get("headrace_intents_total") ?? []).filter((one) => one.value > 0).sort((one, other) => other.value - one.value);
    const intents = outcomes.length > 0 && table("Intents", ["Type", "Outcome", "How many"], outcomes.map((one) => [one.labels.type, one.labels.outcome, short(one.value)]));
    const closes = [...by(metrics.get("headrace_ws_closes_total"), "reason")].filter(([, many]) => many > 0);
    const resumes = [...by(metrics.get("headrace_resumes_total"), "outcome")].filter(([, many]) => many > 0);
    fill(this.tables, work, latency, intents, resumes.length > 0 && table("Connects", ["Outcome", "How many"], resumes.map(([name, many]) => [name, short(many)])), closes.length > 0 && table("Closes", ["Reason", "How many"], closes.map(([name, many]) => [name, short(many)])));
  }
}

function push(values, value) {
  values.push(value);
  if (values.length > KEPT) values.shift();
}

function table(title, heads, rows) {
  return h("section", { class: "card" }, h("h2", { class: "label" }, title), h("table", null, h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", null, rows.map(([first, ...rest]) => h("tr", null, h("th", { scope: "row" }, first), rest.map((one) => h("td", null, one)))))));
}

function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(value < 10 ? 2 : 1);
}

function duration(seconds) {
  if (seconds === undefined || seconds === null) return "unknown";
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min` : `${Math.round(seconds)} s`;
}

customElements.define("hr-ops", Ops);

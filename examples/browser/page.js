// Starts an instance with fetch, and watches it with server-sent events.

const TERMINAL = ["Completed", "Failed", "Terminated"];
// Before a stream that the browser has given up is opened anew.
const REST_MS = 1000;

const at = (id) => document.getElementById(id);
const say = (id, text) => { at(id).textContent = text; };
const instances = () => `${at("server").value}/runtime/webhooks/durabletask/instances`;
const chosen = () => encodeURIComponent(at("id").value);

// The one stream that is open.
let events = null;

async function start() {
  // A name for this wish: if the answer is lost, the same wish can be sent again, and starts nothing twice.
  const wish = crypto.randomUUID();
  const url = `${at("server").value}/orchestrators/${encodeURIComponent(at("function").value)}/${chosen()}`;
  await ask(url, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": wish },
    body: at("input").value,
  });
}

async function terminate() {
  await ask(`${instances()}/${chosen()}/terminate?reason=from+the+page`, { method: "POST" });
}

// An answer that is no success is told: a problem by its detail, a taken id by the server's sentence.
async function ask(url, options) {
  const answer = await fetch(url, options);
  if (answer.ok) return answer;
  const isProblem = answer.headers.get("content-type") === "application/problem+json";
  throw new Error(isProblem ? (await answer.json()).detail : await answer.text());
}

// Shows the current status, and every transition from now on. After a lost connection the browser comes back with the
// id of the last event, which is its revision, and nothing is missed and nothing comes twice.
function watch() {
  events?.close();
  at("transitions").replaceChildren();
  say("output", "");
  open(`${at("server").value}/v1/instances/${chosen()}/watch?waitForStart=true`, "");
}

function open(url, revision) {
  const stream = new EventSource(revision ? `${url}&fromRevision=${revision}` : url);
  events = stream;
  let last = revision;
  const hear = (event) => {
    last = event.lastEventId;
    show(event.type, JSON.parse(event.data));
  };
  for (const kind of ["status", "resync", "purged"]) stream.addEventListener(kind, hear);
  stream.onopen = () => say("connection", "(live)");
  stream.onerror = () => {
    if (stream !== events) return;
    say("connection", "(connection lost)");
    // A browser gives up at answers such as the 503 of a server that drains.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => stream === events && open(url, last), REST_MS);
  };
}

function show(kind, { sequence, status }) {
  const row = at("transitions").insertRow();
  const shown = kind === "status" ? status.runtimeStatus : `${status.runtimeStatus} (${kind})`;
  for (const text of [sequence, status.revision, shown, status.worker ?? "", status.lastUpdatedTime]) {
    row.insertCell().textContent = text;
  }
  if (kind === "purged") return stop();
  if (TERMINAL.includes(status.runtimeStatus)) {
    stop();
    attempt(readOutput)();
  }
}

function stop() {
  events.close();
  events = null;
  say("connection", "");
}

// Transitions have no payloads: the end of the execution is read.
async function readOutput() {
  const answer = await ask(`${instances()}/${chosen()}`);
  say("output", JSON.stringify((await answer.json()).output));
}

// Does it, and shows what went wrong.
function attempt(deed) {
  return async () => {
    say("trouble", "");
    try {
      await deed();
    } catch (error) {
      say("trouble", error.message);
    }
  };
}

at("server").value = new URLSearchParams(location.search).get("server") ?? at("server").value;
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await start();
    watch();
  })();
});
at("watch").addEventListener("click", watch);
at("terminate").addEventListener("click", attempt(terminate));

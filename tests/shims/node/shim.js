// The shim of mqtt.js, a client of another make; tests/shims/README.md describes the lines.
"use strict";

const readline = require("node:readline");
const mqtt = require("mqtt");

// Milliseconds: shorter than the runner's patience, so that the shim can still say what did not come.
const PATIENCE = 10_000;

// What stories call a property, mqtt.js's name for it, and how its value is read.
const NUMBER = Number;
const TEXT = String;
const PROPERTIES = {
  payload_format: ["payloadFormatIndicator", (v) => Number(v) === 1],
  message_expiry: ["messageExpiryInterval", NUMBER],
  content_type: ["contentType", TEXT],
  response_topic: ["responseTopic", TEXT],
  correlation: ["correlationData", (v) => v],
  subscription_id: ["subscriptionIdentifier", NUMBER],
  session_expiry: ["sessionExpiryInterval", NUMBER],
  assigned_client_id: ["assignedClientIdentifier", TEXT],
  receive_maximum: ["receiveMaximum", NUMBER],
  topic_alias: ["topicAlias", NUMBER],
  auth_method: ["authenticationMethod", TEXT],
  auth_data: ["authenticationData", (v) => v],
  will_delay: ["willDelayInterval", NUMBER],
};

/** What has come and what waits for it. */
class Inbox {
  items = [];
  waiting = [];

  put(item) {
    const next = this.waiting.shift();
    if (next) next(item);
    else this.items.push(item);
  }

  take() {
    if (this.items.length > 0) return Promise.resolve(this.items.shift());
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

/** One line: a verb, and fields in order; a value is bytes. */
class Line {
  constructor(text) {
    const [verb, ...parts] = text.trim().split(" ");
    this.verb = verb;
    this.fields = parts.map((part) => {
      const at = part.indexOf("=");
      return [part.slice(0, at), unescape(part.slice(at + 1))];
    });
  }

  raw(name) {
    return this.fields.find(([field]) => field === name)?.[1];
  }

  text(name) {
    return this.raw(name)?.toString();
  }

  number(name, otherwise = 0) {
    const value = this.raw(name);
    return value === undefined ? otherwise : Number(value);
  }

  /** The properties whose fields carry `prefix`. */
  properties(prefix = "") {
    const found = {};
    for (const [field, value] of this.fields) {
      if (!field.startsWith(prefix)) continue;
      const name = field.slice(prefix.length);
      if (name === "user") {
        const [key, ...rest] = value.toString().split(":");
        found.userProperties ??= {};
        (found.userProperties[key] ??= []).push(rest.join(":"));
      } else if (Object.hasOwn(PROPERTIES, name)) {
        const [attribute, read] = PROPERTIES[name];
        found[attribute] = read(value);
      }
    }
    return found;
  }
}

class Shim {
  inbox = new Inbox();
  lost = new Inbox();
  sent = [];
  reason = 0;

  async connects(line) {
    this.version = line.number("version");
    const options = {
      host: line.text("host"),
      port: line.number("port"),
      protocolVersion: this.version,
      protocolId: this.version === 3 ? "MQIsdp" : "MQTT",
      clientId: line.text("client_id") ?? "",
      clean: line.number("clean_start", 1) === 1,
      keepalive: line.number("keep_alive", 60),
      username: line.text("username"),
      password: line.raw("password"),
      reconnectPeriod: 0,
      resubscribe: false,
    };
    if (this.version === 5) options.properties = line.properties();
    if (line.raw("will_topic") !== undefined) {
      options.will = {
        topic: line.text("will_topic"),
        payload: line.raw("will_payload") ?? Buffer.alloc(0),
        qos: line.number("will_qos"),
        retain: line.number("will_retain") === 1,
      };
      if (this.version === 5) options.will.properties = line.properties("will.");
    }
    const client = (this.client = mqtt.connect(options));
    client.on("message", (topic, payload, packet) => this.inbox.put(packet));
    client.on("packetreceive", (packet) => this.noteReason(packet));
    client.on("disconnect", (packet) => (this.reason = packet.reasonCode));
    client.on("close", () => this.lost.put(this.reason));
    const said = (this.said = new Inbox());
    client.on("connect", (packet) => said.put({ packet }));
    client.on("error", (error) => said.put({ error }));
    client.on("disconnect", ({ reasonCode }) => said.put({ error: { code: reasonCode } }));
    client.handleAuth = (packet, reply) => said.put({ packet, reply });
    return this.hears();
  }

  /** What the server says: CONNACK, or a step of an authentication. */
  async hears() {
    const { packet, reply, error } = await this.said.take();
    if (error) throw error;
    const fields = fieldsOf(packet.properties ?? {});
    if (!reply) return answer("ok", ["session_present", Number(packet.sessionPresent)], ...fields);
    if (packet.reasonCode === 0) {
      reply(null);
      return answer("ok", ...fields);
    }
    this.reply = reply;
    return answer("asked", ...fields);
  }

  async authenticates(line) {
    this.reply(null, { cmd: "auth", reasonCode: 0x18, properties: line.properties() });
    return this.hears();
  }

  /** mqtt.js has no public call for it. */
  async reauthenticates(line) {
    this.client._sendPacket({ cmd: "auth", reasonCode: 0x19, properties: line.properties() });
    return this.hears();
  }

  async subscribes(line) {
    const filters = {};
    let last;
    for (const [name, value] of line.fields) {
      if (name === "filter") filters[value] = last = { qos: 0 };
      else if (name === "qos") last.qos = Number(value);
      else if (name === "no_local") last.nl = Number(value) === 1;
      else if (name === "retain_as_published") last.rap = Number(value) === 1;
      else if (name === "retain_handling") last.rh = Number(value);
    }
    const options = this.version === 5 ? { properties: line.properties() } : {};
    const granted = await this.client.subscribeAsync(filters, options);
    return answer("ok", ...granted.map(({ qos }) => ["code", qos]));
  }

  async unsubscribes(line) {
    const filters = line.fields.filter(([name]) => name === "filter").map(([, v]) => v.toString());
    const packet = await this.client.unsubscribeAsync(filters);
    return answer("ok", ...(packet?.granted ?? []).map((code) => ["code", code]));
  }

  /** publish() itself tells no reason code that is a success. */
  noteReason({ cmd, reasonCode }) {
    if (cmd === "puback" || cmd === "pubrec") this.acknowledged = reasonCode ?? 0;
  }

  publish(line) {
    const options = { qos: line.number("qos"), retain: line.number("retain") === 1 };
    if (this.version === 5) options.properties = line.properties();
    const payload = line.raw("payload") ?? Buffer.alloc(0);
    return this.client.publishAsync(line.text("topic"), payload, options);
  }

  async publishes(line) {
    await this.publish(line);
    if (this.version < 5 || line.number("qos") === 0) return "ok";
    return answer("ok", ["reason", this.acknowledged]);
  }

  async sends(line) {
    this.sent.push(this.publish(line));
    return "ok";
  }

  async settles() {
    await Promise.all(this.sent.splice(0));
    return "ok";
  }

  async receives() {
    const packet = await this.inbox.take();
    return answer(
      "ok",
      ["topic", packet.topic],
      ["payload", packet.payload],
      ["qos", packet.qos],
      ["retain", Number(packet.retain)],
      ["dup", Number(packet.dup)],
      ...fieldsOf(packet.properties ?? {}),
    );
  }

  async loses() {
    return answer("ok", ["reason", await this.lost.take()]);
  }

  async disconnects(line) {
    const options = {};
    if (this.version === 5) {
      options.reasonCode = line.number("reason");
      options.properties = line.properties();
    }
    await this.client.endAsync(false, options);
    return "ok";
  }
}

/** Properties that came, as the fields of an answer. */
function fieldsOf(properties) {
  const fields = [];
  for (const [name, [attribute]] of Object.entries(PROPERTIES))
    for (const value of [properties[attribute] ?? []].flat())
      fields.push([name, typeof value === "boolean" ? Number(value) : value]);
  for (const [key, values] of Object.entries(properties.userProperties ?? {}))
    for (const value of [values].flat()) fields.push(["user", `${key}:${value}`]);
  return fields;
}

function answer(word, ...fields) {
  return [word, ...fields.map(([name, value]) => `${name}=${escape(value)}`)].join(" ");
}

function escape(value) {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(String(value));
  const plain = (b) => b > 0x20 && b < 0x7f && b !== 0x25;
  if (bytes.every(plain)) return bytes.toString("latin1");
  const hex = (b) => `%${b.toString(16).padStart(2, "0")}`;
  return Array.from(bytes, (b) => (plain(b) ? String.fromCharCode(b) : hex(b))).join("");
}

function unescape(text) {
  const bytes = Buffer.from(text, "latin1");
  let end = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === 0x25) {
      bytes[end++] = parseInt(text.slice(at + 1, at + 3), 16);
      at += 2;
    } else {
      bytes[end++] = bytes[at];
    }
  }
  return bytes.subarray(0, end);
}

async function act(shim, line) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE, "nothing")));
  try {
    return await Promise.race([shim[line.verb](line), late]);
  } catch (error) {
    if (error.code > 0) return answer("refused", ["reason", error.code]);
    return answer("failed", ["what", error]);
  } finally {
    clearTimeout(timer);
  }
}

async function main() {
  let shim = new Shim();
  for await (const text of readline.createInterface({ input: process.stdin })) {
    const line = new Line(text);
    if (line.verb === "connects") shim = new Shim();
    process.stdout.write(`${await act(shim, line)}\n`);
  }
  process.exit(0);
}

main();
